//! A date as Go's `time.Time` reads it from JSON (`time.Time.UnmarshalJSON`) and writes it again.

/// 0001-01-01T00:00:00Z in nanoseconds from 1970: an unset date.
const ZERO: i128 = -62_135_596_800 * 1_000_000_000;

/// An instant, and the offset in which it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// From 1970.
    nanoseconds: i128,
    /// In seconds.
    offset: i128,
}

impl Date {
    /// What an unset date is.
    pub const ZERO: Date = Date {
        nanoseconds: ZERO,
        offset: 0,
    };

    /// Reads the text of a JSON value. Escapes in it are not resolved.
    ///
    /// Some spellings pass that RFC 3339 does not know: an hour of one digit, a comma before the fraction, more than
    /// nine digits after it, an offset of up to 24:60.
    pub fn read(json: &str) -> Result<Date, String> {
        let text = json
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'));
        text.and_then(|text| Date::parse(Reader(text.as_bytes())))
            .ok_or_else(|| format!("{json} is not a date"))
    }

    fn parse(mut text: Reader) -> Option<Date> {
        let year = text.number(4, 4)?;
        text.byte(b"-")?;
        let month = text.number(2, 2).filter(|month| (1..=12).contains(month))?;
        text.byte(b"-")?;
        let day = text.number(2, 2)?;
        text.byte(b"T")?;
        let hour = text.number(1, 2).filter(|hour| *hour < 24)?;
        text.byte(b":")?;
        let minute = text.number(2, 2).filter(|minute| *minute < 60)?;
        text.byte(b":")?;
        let second = text.number(2, 2).filter(|second| *second < 60)?;
        let fraction = text.fraction();
        let offset = match text.byte(b"Z+-")? {
            b'Z' => 0,
            sign => {
                let hours = text.number(2, 2).filter(|hours| *hours <= 24)?;
                text.byte(b":")?;
                let minutes = text.number(2, 2).filter(|minutes| *minutes <= 60)?;
                let seconds = (hours * 60 + minutes) * 60;
                if sign == b'-' { -seconds } else { seconds }
            }
        };
        if !text.0.is_empty() || !(1..=days_in(month, year)).contains(&day) {
            return None;
        }
        let seconds =
            days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
        Some(Date {
            nanoseconds: (seconds - offset) * 1_000_000_000 + fraction,
            offset,
        })
    }

    /// Nanoseconds from 1970: what dates are compared by.
    pub fn instant(self) -> i128 {
        self.nanoseconds
    }

    /// Microseconds from 1970, rounded: what the database keeps.
    pub fn microseconds(self) -> i128 {
        (self.nanoseconds + 500).div_euclid(1_000)
    }

    /// An offset of a whole day can be read but not be written again.
    pub fn check_writable(self) -> Result<(), String> {
        if self.offset.abs() < 86_400 {
            Ok(())
        } else {
            Err("timezone hour outside of range [0,23]".to_owned())
        }
    }

    /// The second that it lies in, in UTC, as a filter carries it.
    pub fn whole_second(self) -> String {
        let seconds = self.nanoseconds.div_euclid(1_000_000_000);
        let second = seconds.rem_euclid(86_400);
        let days = seconds.div_euclid(86_400);
        // Not too early, before 1970 and after it.
        let mut year = 1970 + days.div_euclid(365).max(days.div_euclid(366));
        while days_since_1970(year, 1, 1) > days {
            year -= 1;
        }
        let mut month = 12;
        while days_since_1970(year, month, 1) > days {
            month -= 1;
        }
        let day = days - days_since_1970(year, month, 1) + 1;
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        format!(
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
            second % 60
        )
    }
}

/// Reads bytes from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        allowed.contains(first).then_some(*first)
    }

    fn number(&mut self, least: usize, most: usize) -> Option<i128> {
        let digits = self
            .0
            .iter()
            .take(most)
            .take_while(|byte| byte.is_ascii_digit());
        let length = digits.count();
        if length < least {
            return None;
        }
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(
            digits
                .iter()
                .fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0')),
        )
    }

    /// Nanoseconds; zero if there is none.
    fn fraction(&mut self) -> i128 {
        let [b'.' | b',', digits @ ..] = self.0 else {
            return 0;
        };
        let length = digits
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if length == 0 {
            return 0;
        }
        let (digits, rest) = digits.split_at(length);
        self.0 = rest;
        let padded = digits
            .iter()
            .copied()
            .chain(std::iter::repeat(b'0'))
            .take(9);
        padded.fold(0, |sum, digit| sum * 10 + i128::from(digit - b'0'))
    }
}

fn is_leap(year: i128) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_in(month: i128, year: i128) -> i128 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_since_1970(year: i128, month: i128, day: i128) -> i128 {
    // The leap days up to the end of a year, counted from the year 0.
    let leap_days = |year: i128| year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let years = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    let months: i128 = (1..month).map(|month| days_in(month, year)).sum();
    years + months + day - 1
}
