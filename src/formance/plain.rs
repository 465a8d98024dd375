//! Texts of versions that Formance can read as they are, but for their date. A page has a hundred of them, so they are looked
//! through once and copied, and not taken apart and put together again.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr2;

use super::left_out::is_short_id;
use super::members::DEEPEST;
use super::texts::unchecked_texts;
use crate::api::{STATUSES, Stream, TYPES, Timestamp, is_other_spelling};

/// The text of a version, dated by `stamp`, if nothing else in it has to change; none also if that is not obvious.
pub(super) fn plain(stream: Stream, json: &str, stamp: Timestamp) -> Option<Cow<'_, str>> {
    let date = Scan::of(json).date(stream)?;
    let text = &json[date.clone()];
    if Timestamp::parse(text).ok()? != stamp {
        let (before, after) = (&json[..date.start], &json[date.end..]);
        return Some([before, &stamp.to_string(), after].concat().into());
    }
    is_readable(text).then_some(Cow::Borrowed(json))
}

/// Whether Go can read a date, if it is one: one of year 1, of a second 60 or with an offset may be one that it cannot.
fn is_readable(date: &str) -> bool {
    date.get(..4).is_some_and(|year| year > "0001")
        && date.get(17..19) != Some("60")
        && date.ends_with('Z')
}

/// A way through the text of a JSON object, which is known to be one. It ends where something might have to change.
struct Scan<'a> {
    json: &'a str,
    next: usize,
}

/// A value of a member.
enum Scanned {
    /// A string: what is between its quotes, and whether it has escapes.
    Text(Range<usize>, bool),
    Null,
    Other,
}

impl<'a> Scan<'a> {
    fn of(json: &'a str) -> Scan<'a> {
        Scan { json, next: 0 }
    }

    /// Where the record's date is, if no other field has to change.
    fn date(mut self, stream: Stream) -> Option<Range<usize>> {
        let fields = stream.fields();
        let mut date = None;
        // Fields that are there, one bit each.
        let mut seen = 0_u32;
        self.skip(b'{')?;
        loop {
            let name = self.name()?;
            self.skip(b':')?;
            let value = self.value()?;
            match fields.iter().position(|field| *field == name) {
                // The last one of a name counts.
                Some(place) if seen & (1 << place) != 0 => return None,
                Some(place) => {
                    seen |= 1 << place;
                    if name == stream.date_field() {
                        let Scanned::Text(text, false) = value else {
                            return None;
                        };
                        date = Some(text);
                    } else if !self.stays(stream, name, &value) {
                        return None;
                    }
                }
                None if is_other_spelling(name, fields) => return None,
                None => {}
            }
            match self.take()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        let required: &[&str] = match stream {
            Stream::Transactions => &["createdAt", "type", "status"],
            _ => &[],
        };
        let has = |field: &&str| {
            let place = fields.iter().position(|known| known == field);
            place.is_some_and(|place| seen & (1 << place) != 0)
        };
        date.filter(|_| self.take().is_none() && required.iter().all(has))
    }

    /// Whether the value of a field stays as it is.
    fn stays(&self, stream: Stream, field: &str, value: &Scanned) -> bool {
        match (stream, field, value) {
            (Stream::Balances, ..) => false,
            (Stream::Transactions, "createdAt", Scanned::Text(text, false)) => {
                is_readable(&self.json[text.clone()])
            }
            (Stream::Transactions, "type", Scanned::Text(text, false)) => {
                TYPES.contains(&&self.json[text.clone()])
            }
            (Stream::Transactions, "status", Scanned::Text(text, false)) => {
                STATUSES.contains(&&self.json[text.clone()])
            }
            (Stream::Transactions, "createdAt" | "type" | "status", _) => false,
            (_, "sourceAccountID" | "destinationAccountID", Scanned::Text(text, _)) => {
                is_short_id(&self.json[text.clone()])
            }
            (_, field, Scanned::Other) => !unchecked_texts(stream).contains(&field),
            _ => true,
        }
    }

    /// The name of a member, without escapes.
    fn name(&mut self) -> Option<&'a str> {
        match self.value()? {
            Scanned::Text(name, false) => Some(&self.json[name]),
            _ => None,
        }
    }

    /// The next value or name.
    fn value(&mut self) -> Option<Scanned> {
        match self.take()? {
            b'"' => self.text(),
            b'{' | b'[' => self.nested(),
            b'n' if self.json[self.next..].starts_with("ull") => {
                self.next += "ull".len();
                Some(Scanned::Null)
            }
            b',' | b':' | b'}' | b']' => None,
            _ => {
                let rest = self.json.as_bytes().get(self.next..)?;
                let is_end = |byte: &u8| b",}] \t\r\n".contains(byte);
                self.next += rest.iter().position(is_end)?;
                Some(Scanned::Other)
            }
        }
    }

    /// The rest of a string. None if it has a `\u` escape, which may mean a character that cannot be stored.
    fn text(&mut self) -> Option<Scanned> {
        let start = self.next;
        let mut has_escapes = false;
        loop {
            let rest = self.json.as_bytes().get(self.next..)?;
            let found = memchr2(b'"', b'\\', rest)?;
            self.next += found + 1;
            if rest[found] == b'"' {
                return Some(Scanned::Text(start..self.next - 1, has_escapes));
            }
            if *rest.get(found + 1)? == b'u' {
                return None;
            }
            has_escapes = true;
            self.next += 1;
        }
    }

    /// The rest of an object or an array.
    fn nested(&mut self) -> Option<Scanned> {
        let mut depth = 1;
        while depth > 0 {
            match self.take()? {
                b'"' => {
                    self.text()?;
                }
                b'{' | b'[' if depth == DEEPEST => return None,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        Some(Scanned::Other)
    }

    /// The next byte that is no space.
    fn take(&mut self) -> Option<u8> {
        loop {
            let byte = *self.json.as_bytes().get(self.next)?;
            self.next += 1;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
        }
    }

    /// Takes that byte.
    fn skip(&mut self, byte: u8) -> Option<()> {
        (self.take()? == byte).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::Members;
    use crate::formance::readable::rewritten_text;

    /// Members of which a record is made, and what they lead to.
    fn member() -> impl Strategy<Value = String> {
        let names = prop_oneof![
            6 => proptest::sample::select(Stream::Transactions.fields()).prop_map(str::to_owned),
            2 => proptest::sample::select(vec!["reference", "x", "é", "ownerName", "accountName"])
                .prop_map(str::to_owned),
            1 => proptest::sample::select(vec!["ID", "Status", r"i\u0064", r#"a\"b"#, "\u{17f}cheme", "tYpe"])
                .prop_map(str::to_owned),
        ];
        let values = proptest::sample::select(vec![
            r#""2024-05-01T12:00:00Z""#,
            r#""2024-05-01T14:00:00+02:00""#,
            r#""2024-05-01T11:59:60Z""#,
            r#""0001-01-01T00:00:00Z""#,
            r#""2024-05-01T12:00:00\u005a""#,
            r#""PAYIN""#,
            r#""SUCCEEDED""#,
            r#""ON_HOLD""#,
            r#""a \"b\" \\u0000 \n""#,
            r#""a\u0000""#,
            r#""\ud83d""#,
            r#""""#,
            "null",
            "5",
            "-1.5e9",
            "true",
            r#"{"a":[1,{"b":"]}"}]}"#,
            r#"[ "\u0000" ]"#,
            "[]",
        ]);
        (names, values).prop_map(|(name, value)| format!("\"{name}\":{value}"))
    }

    /// The text of a record: that of a usual one, in which some members are others.
    fn record() -> impl Strategy<Value = (Stream, String)> {
        let streams = proptest::sample::select(Stream::LISTED.to_vec());
        let members = proptest::collection::vec(member(), 0..3);
        (streams, members, any::<usize>(), any::<bool>()).prop_map(
            |(stream, others, place, is_spaced)| {
                let mut members: Vec<String> = [
                    r#""id":"1""#,
                    r#""createdAt":"2024-05-01T12:00:00Z""#,
                    r#""updatedAt":"2024-05-01T12:00:00Z""#,
                    r#""type":"PAYIN""#,
                    r#""status":"SUCCEEDED""#,
                    r#""amount":"100""#,
                ]
                .map(str::to_owned)
                .into();
                for other in others {
                    let place = place % (members.len() + 1);
                    if place.is_multiple_of(2) && place < members.len() {
                        members[place] = other;
                    } else {
                        members.insert(place, other);
                    }
                }
                let json = if is_spaced {
                    format!(" {{ {} }}\n", members.join(" , ").replace("\":", "\" : "))
                } else {
                    format!("{{{}}}", members.join(","))
                };
                (stream, json)
            },
        )
    }

    fn members(json: &str) -> Vec<(String, String)> {
        let members = Members::read(json).unwrap();
        let members = members.iter();
        members
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn a_plain_text_is_what_the_long_way_leads_to((stream, json) in record(), is_own in any::<bool>()) {
            let stamp = if is_own { "2024-05-01T12:00:00Z" } else { "2024-05-01T12:00:00.01Z" };
            let stamp = Timestamp::parse(stamp).unwrap();
            if let Some(plain) = plain(stream, &json, stamp) {
                let expected = rewritten_text(stream, &json, stamp, None, &[]);
                if expected == json {
                    prop_assert_eq!(plain, expected);
                } else {
                    prop_assert_eq!(members(&plain), members(&expected), "{}", json);
                }
            }
        }
    }

    #[test]
    fn usual_records_are_plain() {
        let stamp = Timestamp::parse("2024-05-01T12:00:00Z").unwrap();
        for (stream, json) in [
            (
                Stream::Accounts,
                r#"{"id":"a", "accountName":"A \"b\"", "createdAt":"2024-05-01T12:00:00Z","x":[1e9]}"#,
            ),
            (
                Stream::Beneficiaries,
                r#"{"id":"a","ownerName":null,"createdAt":"2024-05-01T12:00:00.000Z","metadata":{"a":"b"}}"#,
            ),
            (
                Stream::Transactions,
                r#"{"id":"t","type":"PAYIN","status":"CAPTURE","createdAt":"2024-04-30T12:00:00Z","updatedAt":"2024-05-01T12:00:00Z","scheme":null,"sourceAccountID":"a","amount":"5","currency":"EUR/2"}"#,
            ),
        ] {
            assert_eq!(plain(stream, json, stamp).as_deref(), Some(json));
            let later = stamp.plus_nanoseconds(10);
            let dated = plain(stream, json, later).unwrap();
            assert!(
                dated.contains(r#":"2024-05-01T12:00:00.000000010Z""#),
                "{dated}"
            );
        }
        let balances = r#"{"id":"1","accountID":"a","at":"2024-05-01T12:00:00Z","balances":[]}"#;
        assert_eq!(plain(Stream::Balances, balances, stamp), None);
    }
}
