//! Dates, against the calendar's own arithmetic.
#![no_main]

use generic_connector::fuzzing::{Second, Timestamp};
use generic_connector_fuzz::assert_message;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match (Timestamp::parse(text), nanosecond_of(text)) {
        (Ok(date), Some(nanosecond)) => {
            check(date);
            let least = nanosecond_of("0000-01-01T00:00:00Z").expect("a date");
            let most = nanosecond_of("9999-12-30T22:00:00.999999999Z").expect("a date");
            assert_eq!(
                nanosecond_of(&date.to_string()),
                Some(nanosecond.clamp(least, most)),
                "{text:?} {date}"
            );
            check_http(date);
        }
        (Err(invalid), None) => assert_message(&invalid.to_string()),
        (read, _) => panic!("{text:?} and RFC 3339 differ: {read:?}"),
    }
    if let Some(date) = Timestamp::parse_http(text) {
        check(date);
    }
});

fn check(date: Timestamp) {
    assert_eq!(Timestamp::parse(&date.to_string()), Ok(date));

    let second = date.second();
    let start = Timestamp::parse(&second.to_string()).expect("a second is a date");
    assert!(start <= date && start.second() == second);
    assert!(date.since(start).as_secs() == 0 && start.since(date).is_zero());
    if (Second::MIN..Second::MAX).contains(&second) {
        let next = second.next();
        assert_eq!((next.since(second), second.since(next)), (1, 0));
        assert_eq!(next.earlier(1), second);
        assert!(date < Timestamp::parse(&next.to_string()).expect("a date"));
    }
    assert_eq!(second.earlier(u64::MAX), Second::MIN);
}

/// What an RFC 3339 date says, without limits on the years: nanoseconds since 1970. None if it is not one.
fn nanosecond_of(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i128> {
        let digits = bytes.get(from..to)?;
        let value = |byte: &u8| byte.is_ascii_digit().then(|| i128::from(byte - b'0'));
        digits
            .iter()
            .try_fold(0, |sum, byte| Some(sum * 10 + value(byte)?))
    };
    let stands = |at: usize, wanted: &[u8]| bytes.get(at).is_some_and(|it| wanted.contains(it));
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators
        .iter()
        .all(|(at, wanted)| stands(*at, &[*wanted]))
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);

    let mut end = 19;
    let mut fraction = 0;
    if stands(19, b".") {
        end = (20..bytes.len()).find(|at| !bytes[*at].is_ascii_digit())?;
        let digits = end - 20;
        if !(1..=9).contains(&digits) {
            return None;
        }
        fraction = number(20, end)? * 10_i128.pow(9 - digits as u32);
    }
    let offset = match &bytes[end..] {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(end + 1, end + 3)?, number(end + 4, end + 6)?);
            // RFC 3339 ends at 23:59; the parser is kinder, and no zone of this world is that far out.
            if hours > 25 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };

    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=12).contains(&month) || day == 0 || day > months[month as usize - 1] {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let leap_days = if year == 0 {
        0
    } else {
        (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1
    };
    let days = year * 365 + leap_days + months[..month as usize - 1].iter().sum::<i128>() + day - 1;
    // 1970 began 719528 days after the year 0. A leap second counts as the second before it.
    let minutes = ((days - 719_528) * 24 + hour) * 60 + minute - offset;
    Some((minutes * 60 + second.min(59)) * 1_000_000_000 + fraction)
}

/// The date as HTTP writes it is read as the same second.
fn check_http(date: Timestamp) {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let shown = date.to_string();
    let days = nanosecond_of(&shown)
        .expect("a date")
        .div_euclid(86_400_000_000_000);
    let month: usize = shown[5..7].parse().expect("a month");
    let written = format!(
        "{}, {} {} {} {} GMT",
        DAYS[days.rem_euclid(7) as usize],
        &shown[8..10],
        MONTHS[month - 1],
        &shown[..4],
        &shown[11..19]
    );
    let read = Timestamp::parse_http(&written).map(Timestamp::second);
    assert_eq!(read, Some(date.second()), "{written}");
}
