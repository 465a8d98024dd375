//! `check --junit`: the file has the form that Jenkins takes (`junit-10.xsd` of its xUnit plugin), without asking the network.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Value, json};

use crate::support::{FakePsp, Manners, Place, run};

/// An element: its parents and the attributes that it must have, and those that it may have.
struct Form {
    parents: &'static [&'static str],
    required: &'static [&'static str],
    allowed: &'static [&'static str],
}

fn form(name: &str) -> Form {
    let (parents, required, allowed): (&[_], &[_], &[_]) = match name {
        "testsuites" => (&[""], &[], &["name", "time", "tests", "failures", "errors"]),
        "testsuite" => (
            &["testsuites"],
            &["name", "tests", "failures", "errors"],
            &["skipped", "time", "timestamp", "hostname", "id", "package"],
        ),
        "testcase" => (&["testsuite"], &["name", "classname"], &["time", "group"]),
        "failure" | "skipped" => (&["testcase"], &[], &["message", "type"]),
        "system-out" => (&["testcase", "testsuite"], &[], &[]),
        other => panic!("the element {other} is not in the schema"),
    };
    Form {
        parents,
        required,
        allowed,
    }
}

/// Looks at every element, and returns how many there are of each name, and the attributes of each suite.
fn conforms(xml: &str) -> (BTreeMap<String, usize>, Vec<BTreeMap<String, String>>) {
    let rest = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
        .unwrap();
    let tag = Regex::new(r#"<(/?)([a-z-]+)((?: [a-z]+="[^"<]*")*)(/?)>"#).unwrap();
    let attribute = Regex::new(r#" ([a-z]+)="([^"<]*)""#).unwrap();
    let entity = Regex::new("&(amp|lt|gt|quot);").unwrap();
    let (mut open, mut counts, mut suites) = (vec![String::new()], BTreeMap::new(), Vec::new());
    let mut end = 0;
    for found in tag.captures_iter(rest) {
        let whole = found.get(0).unwrap();
        let text = &rest[end..whole.start()];
        assert!(!text.contains('<'), "{text}");
        assert!(!entity.replace_all(text, "").contains('&'), "{text}");
        end = whole.end();
        let (name, attributes) = (&found[2], &found[3]);
        if &found[1] == "/" {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let form = form(name);
        assert!(
            form.parents.contains(&open.last().unwrap().as_str()),
            "{name} in {open:?}"
        );
        let attributes: BTreeMap<String, String> = attribute
            .captures_iter(attributes)
            .map(|pair| (pair[1].to_owned(), pair[2].to_owned()))
            .collect();
        for required in form.required {
            assert!(
                attributes.contains_key(*required),
                "{name} lacks {required}"
            );
        }
        for given in attributes.keys() {
            let known = form
                .required
                .iter()
                .chain(form.allowed)
                .any(|known| known == given);
            assert!(known, "{name} has {given}");
        }
        *counts.entry(name.to_owned()).or_default() += 1;
        if name == "testsuite" {
            suites.push(attributes);
        }
        if &found[4] != "/" {
            open.push(name.to_owned());
        }
    }
    assert_eq!(open, [""]);
    assert_eq!(rest[end..].trim(), "");
    let is_allowed =
        |character: char| matches!(character, '\n' | '\t' | '\u{20}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(is_allowed));
    (counts, suites)
}

#[test]
fn the_file_has_the_form_that_jenkins_takes() {
    let psp = FakePsp::with_a_bank();
    psp.behave(Manners {
        cap: Some(50),
        ..Manners::default()
    });
    psp.change_transaction(
        "tx-007",
        json!({ "amount": 7, "id": "tx-<&\"'\u{1b}\u{7}>" }),
    );
    let place = Place::new(&psp.url(), json!({}));
    let file = place.path().join("check.xml");
    let mut command = place.command("check --json");
    command.arg("--junit").arg(&file);
    let ran = run(command);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let (counts, suites) = conforms(&std::fs::read_to_string(&file).unwrap());
    let number = |name: &str| usize::try_from(document["counts"][name].as_u64().unwrap()).unwrap();
    assert_eq!(
        counts["testcase"],
        document["checks"].as_array().unwrap().len()
    );
    assert_eq!(counts["failure"], number("failed"));
    assert_eq!(
        counts["skipped"],
        number("skipped") + number("warnings") + number("infos")
    );
    let sum = |name: &str| {
        suites
            .iter()
            .map(|suite| suite[name].parse::<usize>().unwrap())
            .sum::<usize>()
    };
    assert_eq!(
        (sum("tests"), sum("failures"), sum("errors")),
        (counts["testcase"], counts["failure"], 0)
    );
    assert_eq!(sum("skipped"), counts["skipped"]);
}
