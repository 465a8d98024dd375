use super::{CatalogueEntry, GROUPS, entries, find};
use crate::check::layout::wrapped;

/// A step of whoever writes a service.
pub struct BuildStep {
    /// What works when its checks pass.
    pub name: &'static str,
    /// The checks, by ids or by letters of groups.
    selection: &'static [&'static str],
}

const fn step(name: &'static str, selection: &'static [&'static str]) -> BuildStep {
    BuildStep { name, selection }
}

/// The steps, one after the other.
pub const BUILD_ORDER: [BuildStep; 8] = [
    step("answers", &["A3", "A6", "L1"]),
    step("records", &["R"]),
    step("the key", &["A"]),
    step("pages and order", &["P", "O", "L2"]),
    step("the filter", &["F"]),
    step("balances", &["B"]),
    step(
        "errors and HTTP",
        &["E", "H1", "H2", "H3", "H4", "H5", "H8", "H9"],
    ),
    step("load", &["H6", "H7"]),
];

impl BuildStep {
    /// Its checks.
    pub fn checks(&self) -> Vec<&'static CatalogueEntry> {
        let mut checks: Vec<&'static CatalogueEntry> =
            self.selection.iter().filter_map(|id| find(id)).collect();
        for group in &GROUPS {
            if self.selection.contains(&group.letter.to_string().as_str()) {
                checks.extend(group.entries);
            }
        }
        checks
    }
}

/// How to write a service, in lines of that many characters.
pub fn guide(width: usize) -> String {
    const INTRODUCTION: &str = "An Integration Service answers four GETs: /accounts, /accounts/{id}/balances, /beneficiaries and \
        /transactions. Write it in the order below. Leave `generic-connector check --watch` running meanwhile: it shows the first \
        step that does not work yet, and what to do. `generic-connector sandbox` is a service that does everything right; ask it \
        with curl whenever you are in doubt. `generic-connector explain ID` has an example of each right answer.";
    const END: &str = "Then let it pay, with an amount that you can do without: `check --pay payouts --from … --to … --amount 1 \
        --currency EUR/2`. Watch it for a minute of usual work with `check --observe 60s`, and make some changes at the PSP with \
        `check --change`. In CI, run `check --strict --junit FILE`.";
    let mut text = paragraph(INTRODUCTION, width);
    for (number, step) in (1..).zip(&BUILD_ORDER) {
        text += &format!("\n{number}  {}\n", step.name);
        for entry in step.checks() {
            text += &format!("   {:<4} {} ({})\n", entry.id, entry.name, entry.level);
        }
    }
    let with_a_mode = entries().filter(|entry| entry.id.starts_with(['I', 'V', 'X']));
    text += &format!("\n{}  money, time and changes\n", BUILD_ORDER.len() + 1);
    for entry in with_a_mode {
        text += &format!("   {:<4} {} ({})\n", entry.id, entry.name, entry.level);
    }
    text + "\n" + &paragraph(END, width)
}

fn paragraph(text: &str, width: usize) -> String {
    wrapped(text, width).join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_its_step() {
        let stepped: Vec<&str> = BUILD_ORDER
            .iter()
            .flat_map(BuildStep::checks)
            .map(|entry| entry.id)
            .collect();
        for entry in entries().filter(|entry| !entry.id.starts_with(['I', 'V', 'X'])) {
            assert!(stepped.contains(&entry.id), "{}", entry.id);
        }
    }
}
