use std::fmt;

use super::Invalid;

/// An asset in UMN notation: `USD/2`, `BTC/8`, `COIN`, `JPY`. The number is the count of decimals; without one it is 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asset {
    text: String,
    code_length: usize,
}

impl Asset {
    /// Reads `^[A-Z][A-Z0-9]{0,16}(_[A-Z]{1,16})?(/\d{1,6})?$`.
    pub fn parse(text: &str) -> Result<Asset, Invalid> {
        Asset::check(text)?;
        let code_length = text.find('/').unwrap_or(text.len());
        Ok(Asset {
            text: text.to_owned(),
            code_length,
        })
    }

    /// Whether [`parse`](Asset::parse) accepts the text; the error says why it does not.
    pub fn check(text: &str) -> Result<(), Invalid> {
        let (code, decimals) = match text.split_once('/') {
            Some((code, decimals)) => (code, Some(decimals)),
            None => (text, None),
        };
        let (base, suffix) = match code.split_once('_') {
            Some((base, suffix)) => (base, Some(suffix)),
            None => (code, None),
        };
        let upper = |byte: u8| byte.is_ascii_uppercase();
        let digit = |byte: u8| byte.is_ascii_digit();
        let good = (1..=17).contains(&base.len())
            && base.bytes().all(|byte| upper(byte) || digit(byte))
            && base.bytes().next().is_some_and(upper)
            && suffix
                .is_none_or(|suffix| (1..=16).contains(&suffix.len()) && suffix.bytes().all(upper))
            && decimals.is_none_or(|decimals| {
                (1..=6).contains(&decimals.len()) && decimals.bytes().all(digit)
            });
        if !good {
            let shown = super::escaped(text);
            return Err(Invalid(format!(
                "{shown:?} is not an asset in UMN notation, such as USD/2"
            )));
        }
        Ok(())
    }

    /// The part before the `/`.
    pub fn code(&self) -> &str {
        &self.text[..self.code_length]
    }

    /// The number of decimals of a major unit.
    pub fn decimals(&self) -> usize {
        self.text[self.code_length..]
            .trim_start_matches('/')
            .parse()
            .unwrap_or(0)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_umn_notation() {
        for (text, code, decimals) in [
            ("USD/2", "USD", 2),
            ("BTC/8", "BTC", 8),
            ("COIN", "COIN", 0),
            ("EUR_TEST/2", "EUR_TEST", 2),
            ("A1/000018", "A1", 18),
        ] {
            let asset = Asset::parse(text).unwrap();
            assert_eq!(
                (asset.code(), asset.decimals(), asset.to_string().as_str()),
                (code, decimals, text)
            );
        }
        let long = "A".repeat(18);
        for text in [
            "",
            "usd/2",
            "1USD",
            "USD/",
            "USD/x",
            "USD/1234567",
            "USD/2/2",
            "USD_",
            "USD_1",
            "/2",
            "US D",
            &long,
        ] {
            assert!(Asset::parse(text).is_err(), "{text:?}");
        }
    }
}
