//! Which texts are the same object. Two or three lines, one text on each.
#![no_main]

use generic_connector::fuzzing::{ContentHash, same_balances, same_content};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let one = lines.next().unwrap_or_default();
    let other = lines.next().unwrap_or(one);
    let third = lines.next().unwrap_or(other);

    for text in [one, other, third] {
        assert!(same_content(text, text), "{text:?}");
        assert!(same_balances(text, text), "{text:?}");
        assert!(same_content(text, &format!(" {text}\n")), "{text:?}");
    }
    for (one, other) in [(one, other), (other, third), (one, third)] {
        let same = same_content(one, other);
        assert_eq!(same, same_content(other, one), "{one:?} {other:?}");
        let balances = same_balances(one, other);
        assert_eq!(balances, same_balances(other, one), "{one:?} {other:?}");
        // What is the same in everything is the same in its amounts.
        assert!(balances || !same, "{one:?} {other:?}");
        assert_eq!(
            one == other,
            ContentHash::of(one) == ContentHash::of(other),
            "{one:?} {other:?}"
        );
    }
    if same_content(one, other) && same_content(other, third) {
        assert!(same_content(one, third), "{one:?} {other:?} {third:?}");
    }
});
