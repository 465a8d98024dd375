use std::fmt::Write;

use super::{reason, word};
use crate::api::Stream;
use crate::check::catalogue::GROUPS;
use crate::check::{CheckFinding, CheckResult, CheckRun, Level};

/// The report as JUnit writes it, for CI servers: a suite for each group. A failed must is a failure, everything else that
/// did not pass is skipped.
pub fn in_junit(run: &CheckRun) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for group in &GROUPS {
        let results = run.results.iter();
        let of_group = results.filter(|result| result.entry.id.starts_with(group.letter));
        let of_group: Vec<&CheckResult> = of_group.collect();
        let count = |is_wanted: &dyn Fn(&CheckFinding) -> bool| {
            of_group
                .iter()
                .filter(|result| is_wanted(&result.finding))
                .count()
        };
        let failures = count(&is_failure);
        let skipped =
            count(&|finding| !is_failure(finding) && !matches!(finding, CheckFinding::Passed));
        // Writing to a text does not fail.
        let _ = writeln!(
            text,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\">",
            group.name,
            of_group.len()
        );
        for result in of_group {
            text += &case(result, run);
        }
        text += "  </testsuite>\n";
    }
    text + "</testsuites>\n"
}

fn is_failure(finding: &CheckFinding) -> bool {
    matches!(
        finding,
        CheckFinding::Wrong {
            level: Level::Must,
            ..
        }
    )
}

fn case(result: &CheckResult, run: &CheckRun) -> String {
    let CheckResult {
        entry,
        stream,
        finding,
    } = result;
    let list = stream.map_or(String::new(), |stream| {
        format!(" ({})", Stream::name(stream))
    });
    let name = escaped(&format!("{} {}{list}", entry.id, entry.name));
    let open = format!(
        "    <testcase classname=\"check.{}\" name=\"{name}\"",
        entry.id
    );
    let inside = match finding {
        CheckFinding::Passed => return format!("{open}/>\n"),
        CheckFinding::Skipped(why) => {
            format!("      <skipped message=\"{}\"/>\n", escaped(&reason(why)))
        }
        CheckFinding::Wrong { got, exchanges, .. } => {
            let message = escaped(got);
            let text = escaped(&format!(
                "right: {}\ncost: {}\nfix: {}",
                entry.right, entry.cost, entry.fix
            ));
            let element = if is_failure(finding) {
                format!("      <failure message=\"{message}\">{text}</failure>\n")
            } else {
                format!(
                    "      <skipped message=\"{}: {message}\"/>\n",
                    word(finding)
                )
            };
            let shown = exchanges
                .iter()
                .filter_map(|number| run.exchanges.get(*number));
            let lines = shown.map(|one| format!("{}\n{}\n", one.curl(), one.answered()));
            let exchanged = escaped(&lines.collect::<String>());
            format!("{element}      <system-out>{exchanged}</system-out>\n")
        }
    };
    format!("{open}>\n{inside}    </testcase>\n")
}

/// A text for XML, without the characters that it cannot contain.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\n' => safe.push('\n'),
            '\u{fffe}' | '\u{ffff}' => {}
            character if character.is_control() => {}
            character => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_has_no_control_characters() {
        assert_eq!(
            escaped("<a b=\"&\">\u{0}\u{1b}\u{ffff}é\n"),
            "&lt;a b=&quot;&amp;&quot;&gt;é\n"
        );
    }
}
