//! Amounts, against arbitrary-precision integers. Two lines: the amount, then the decimals it is shown with.
#![no_main]

use generic_connector::fuzzing::Amount;
use generic_connector_fuzz::assert_message;
use libfuzzer_sys::fuzz_target;
use num_bigint::BigInt;

/// No asset has more decimals.
const MOST_DECIMALS: usize = 999_999;

fuzz_target!(|text: &str| {
    let (text, decimals) = text.split_once('\n').unwrap_or((text, ""));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_whole_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    let amount = match Amount::parse(text) {
        Ok(amount) => amount,
        Err(invalid) => {
            assert!(!is_whole_number, "{text:?} is refused");
            return assert_message(&invalid.to_string());
        }
    };
    assert!(is_whole_number, "{text:?} is accepted");

    let shown = amount.to_string();
    let number: BigInt = text.parse().expect("a whole number");
    assert_eq!(shown, number.to_string());
    assert_eq!(Amount::parse(&shown).as_ref(), Ok(&amount));

    let Some(decimals) = decimals.parse().ok().filter(|it| *it <= MOST_DECIMALS) else {
        return;
    };
    let major = amount.in_major_units(decimals);
    let (whole, fraction) = major.split_once('.').unwrap_or((&major, ""));
    assert_eq!(fraction.len(), decimals, "{major}");
    assert_eq!(Amount::parse(&format!("{whole}{fraction}")), Ok(amount));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    assert!(whole == "0" || !whole.starts_with('0'), "{major}");
    assert!(!whole.is_empty(), "{major}");
});
