use std::fmt;

use super::Invalid;

/// A signed integer of any size, in minor units.
///
/// It is kept as decimal digits in canonical form (no `+`, no leading zeros, no `-0`), so that equal amounts have equal
/// texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Amount(String);

impl Amount {
    /// Reads an optional sign and decimal digits. Anything else (`1.0`, `1e3`, an empty text) is an error.
    pub fn parse(text: &str) -> Result<Amount, Invalid> {
        Amount::check(text)?;
        let (negative, digits) = sign_and_digits(text);
        let digits = digits.trim_start_matches('0');
        Ok(Amount(match (digits, negative) {
            ("", _) => "0".to_owned(),
            (digits, true) => format!("-{digits}"),
            (digits, false) => digits.to_owned(),
        }))
    }

    /// Whether [`parse`](Amount::parse) accepts the text; the error says why it does not.
    pub fn check(text: &str) -> Result<(), Invalid> {
        let (_, digits) = sign_and_digits(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let shown = super::escaped(text);
            return Err(Invalid(format!(
                "{shown:?} is not an amount: a whole number of minor units, such as \"-1050\""
            )));
        }
        Ok(())
    }

    /// The amount in major units, for display: `-1050` with two decimals is `-10.50`.
    pub fn in_major_units(&self, decimals: usize) -> String {
        let (sign, digits) = match self.0.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", self.0.as_str()),
        };
        if decimals == 0 {
            return self.0.clone();
        }
        // Padded by hand: a format's width ends at 65,535, and an asset may have 999,999 decimals.
        let padded = "0".repeat((decimals + 1).saturating_sub(digits.len())) + digits;
        let (whole, fraction) = padded.split_at(padded.len() - decimals);
        format!("{sign}{whole}.{fraction}")
    }
}

/// Whether the text begins with a minus, and the text after its sign.
fn sign_and_digits(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_any_size_in_one_form() {
        for (text, shown) in [
            ("0", "0"),
            ("-0", "0"),
            ("+5", "5"),
            ("007", "7"),
            ("-0012", "-12"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
        ] {
            assert_eq!(Amount::parse(text).unwrap().to_string(), shown);
        }
        for text in ["", "-", "+", "1.0", "1e3", " 1", "1 ", "--1", "0x10", "١"] {
            assert!(Amount::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn is_shown_in_major_units() {
        let shown = |text, decimals| Amount::parse(text).unwrap().in_major_units(decimals);
        assert_eq!(shown("-1050", 2), "-10.50");
        assert_eq!(shown("5", 2), "0.05");
        assert_eq!(shown("0", 8), "0.00000000");
        assert_eq!(shown("1050", 0), "1050");
        assert_eq!(shown("-5", 999_999).len(), "-0.".len() + 999_999);
    }
}
