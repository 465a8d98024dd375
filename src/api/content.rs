use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Amount, Members};

/// The first 16 bytes of the SHA-256 of a record's text.
///
/// Equal hashes mean equal texts. The state keeps the hash, and idempotency keys carry its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 16]);

impl ContentHash {
    /// The hash of that text.
    pub fn of(text: impl AsRef<[u8]>) -> ContentHash {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_ref());
        let mut first = [0; 16];
        first
            .iter_mut()
            .zip(digest.as_ref())
            .for_each(|(to, from)| *to = *from);
        ContentHash(first)
    }

    /// Its hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Its first eight hexadecimal digits, as idempotency keys carry them.
    pub fn short(&self) -> String {
        self.hex()[..8].to_owned()
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({}…)", self.short())
    }
}

/// Whether two JSON texts have the same content: they may differ in white space and in the order of keys, since some
/// services write their maps in random order. Numbers and strings are compared as text, so no precision is lost.
pub fn same_content(one: &str, other: &str) -> bool {
    /// Levels. No object of the API is nested deeper than three.
    const DEEPEST: usize = 64;
    fn same(one: &str, other: &str, depth: usize) -> bool {
        if one == other {
            return true;
        }
        if depth == DEEPEST {
            return false;
        }
        match (one.as_bytes().first(), other.as_bytes().first()) {
            (Some(b'{'), Some(b'{')) => both::<BTreeMap<Cow<str>, &RawValue>>(one, other)
                .is_some_and(|(one, other)| {
                    one.len() == other.len()
                        && one.iter().zip(&other).all(|(one, other)| {
                            one.0 == other.0 && same(one.1.get(), other.1.get(), depth + 1)
                        })
                }),
            (Some(b'['), Some(b'[')) => {
                both::<Vec<&RawValue>>(one, other).is_some_and(|(one, other)| {
                    let mut pairs = one.iter().zip(&other);
                    one.len() == other.len()
                        && pairs.all(|(one, other)| same(one.get(), other.get(), depth + 1))
                })
            }
            _ => false,
        }
    }
    fn both<'a, T: Deserialize<'a>>(one: &'a str, other: &'a str) -> Option<(T, T)> {
        let read = |json| serde_json::from_str(json).ok();
        Some((read(one)?, read(other)?))
    }
    same(one.trim(), other.trim(), 0)
}

/// Whether two Balances objects hold the same amounts. Their `at` and `id` do not count: many services write the time
/// of the request there.
pub fn same_balances(one: &str, other: &str) -> bool {
    let amounts = |json: &str| -> Option<Vec<(String, String)>> {
        let object = Members::read(json).ok()?;
        let balances: Vec<Members> = serde_json::from_str(object.get("balances")?).ok()?;
        let mut amounts = Vec::with_capacity(balances.len());
        for balance in &balances {
            let amount = balance.text("amount").ok()?;
            let digits =
                Amount::parse(&amount).map_or(amount.to_string(), |amount| amount.to_string());
            amounts.push((balance.text("currency").ok()?.into_owned(), digits));
        }
        amounts.sort();
        Some(amounts)
    };
    match (amounts(one), amounts(other)) {
        (Some(one), Some(other)) => one == other,
        _ => same_content(one, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_is_no_content() {
        let same = [
            (
                r#"{"a":1,"b":{"c":"x","d":[1,2]}}"#,
                r#"{ "b":{"d":[1, 2],"c":"x"}, "a":1 }"#,
            ),
            (r#"{"a":1}"#, " {\"a\":1}\n"),
        ];
        for (one, other) in same {
            assert!(same_content(one, other), "{one} {other}");
        }
        let different = [
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (
                r#"{"a":12345678901234567890123}"#,
                r#"{"a":12345678901234567890124}"#,
            ),
            (r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            (r#"{"a":"1 2"}"#, r#"{"a":"12"}"#),
        ];
        for (one, other) in different {
            assert!(!same_content(one, other), "{one} {other}");
        }
        let deep = |inner: &str| format!("{}{inner}{}", "[ ".repeat(100_000), "]".repeat(100_000));
        assert!(!same_content(&deep("1"), &deep("2")));
    }

    #[test]
    fn balances_are_compared_by_their_amounts() {
        let balances = |id: &str, at: &str, balances: &str| {
            format!(r#"{{"id":"{id}","accountID":"a","at":"{at}","balances":[{balances}]}}"#)
        };
        let (usd, eur) = (
            r#"{"amount":"5","currency":"USD/2"}"#,
            r#"{"currency":"EUR/2","amount":"+07"}"#,
        );
        let one = balances("1", "2024-05-01T00:00:00Z", &format!("{usd},{eur}"));
        assert!(same_balances(
            &one,
            &balances("2", "2025-01-01T00:00:00Z", &format!("{eur},{usd}"))
        ));
        assert!(!same_balances(
            &one,
            &balances("1", "2024-05-01T00:00:00Z", usd)
        ));
        assert!(same_balances(
            &balances("1", "2024-05-01T00:00:00Z", eur),
            &balances(
                "1",
                "2025-05-01T00:00:00Z",
                r#"{"amount":"7","currency":"EUR/2"}"#
            )
        ));
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        assert_eq!(ContentHash::of("").short(), "e3b0c442");
        assert_ne!(ContentHash::of("{}"), ContentHash::of("{ }"));
    }
}
