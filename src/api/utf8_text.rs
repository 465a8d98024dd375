use super::contract::RecordFields;
use super::{Invalid, Record, SharedText, Unusable};

/// The most places of a body that may not be UTF-8. More of them are not an accident in a record.
const MOST_REPLACED: usize = 10_000;

/// The body of an answer as a text. U+FFFD replaces what is not UTF-8, as for Go.
pub(super) struct Utf8Text {
    pub text: SharedText,
    /// Where it does, in bytes from the beginning of the text.
    replaced: Vec<usize>,
}

impl Utf8Text {
    /// Reads a body. It is an error if more than 10,000 places of it are not UTF-8.
    pub fn read(body: Vec<u8>) -> Result<Utf8Text, Invalid> {
        let mut replaced = Vec::new();
        let body = match String::from_utf8(body) {
            Ok(text) => {
                let text = text.into();
                return Ok(Utf8Text { text, replaced });
            }
            Err(error) => error.into_bytes(),
        };
        let mut text = String::with_capacity(body.len());
        for chunk in body.utf8_chunks() {
            text += chunk.valid();
            if !chunk.invalid().is_empty() {
                replaced.push(text.len());
                text.push(char::REPLACEMENT_CHARACTER);
            }
            if replaced.len() > MOST_REPLACED {
                return Err(Invalid(
                    "the body is not UTF-8: have the service encode its JSON in UTF-8".to_owned(),
                ));
            }
        }
        let text = text.into();
        Ok(Utf8Text { text, replaced })
    }

    /// A record whose text, `json`, is a part of this one. It is not accepted if a field that has rules was changed: two
    /// ids, for example, may have become one.
    pub fn check(&self, record: Record, json: &str) -> Result<Record, Unusable> {
        if !self.is_changed(json) {
            return Ok(record);
        }
        let fields: Option<RecordFields> = serde_json::from_str(json).ok();
        let changed =
            fields.and_then(|fields| fields.all().find(|(_, text)| self.is_changed(text)));
        match changed {
            None => Ok(record),
            Some((field, _)) => Err(Unusable {
                id: (field != record.stream.key_field()).then(|| record.id.to_string()),
                reason: format!(
                    "\"{field}\" contains bytes that are not UTF-8, which are U+FFFD here: have the service encode its \
                    JSON in UTF-8"
                ),
                json: (*record.json).into(),
            }),
        }
    }

    /// Whether a part of the text, which borrows from it, has U+FFFD in place of what was there.
    fn is_changed(&self, part: &str) -> bool {
        let range = self.text.place_of(part);
        let next = self.replaced.partition_point(|place| *place < range.start);
        self.replaced
            .get(next)
            .is_some_and(|place| range.contains(place))
    }
}
