//! Assets, against the regular expression that documents them.
#![no_main]

use std::sync::LazyLock;

use generic_connector::fuzzing::Asset;
use generic_connector_fuzz::assert_message;
use libfuzzer_sys::fuzz_target;
use regex_lite::Regex;

static RULE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([A-Z][A-Z0-9]{0,16}(?:_[A-Z]{1,16})?)(?:/([0-9]{1,6}))?$").expect("a rule")
});

fuzz_target!(|text: &str| {
    match (Asset::parse(text), RULE.captures(text)) {
        (Ok(asset), Some(rule)) => {
            assert_eq!(asset.to_string(), text);
            assert_eq!(Asset::parse(&asset.to_string()).as_ref(), Ok(&asset));
            assert_eq!(Some(asset.code()), rule.get(1).map(|code| code.as_str()));
            let decimals = rule.get(2).map_or(Ok(0), |digits| digits.as_str().parse());
            assert_eq!(Ok(asset.decimals()), decimals);
        }
        (Err(invalid), None) => assert_message(&invalid.to_string()),
        (read, _) => panic!("{text:?} and the rule differ: {read:?}"),
    }
});
