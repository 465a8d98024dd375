use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Bytes of an id. PostgreSQL indexes at most 2,704 bytes of a value (a third of a page, less the row's overhead). It
/// answers a longer one with an error that Formance takes for a fault of its own.
const LONGEST_ID: usize = 2_680;

/// The id of an installed connector, as the Payments API gave it.
///
/// Formance's ids are base64url without padding over canonical JSON. The ids of accounts and payments embed the
/// connector's. A connector's id cannot be built from its parts: connectors that were migrated from version 2 spell the
/// provider differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectorId {
    /// The id as requests carry it.
    pub text: String,
    /// The canonical JSON that it encodes.
    json: String,
}

impl ConnectorId {
    /// Decodes an id; `None` if the text is not one.
    pub fn decode(text: &str) -> Option<ConnectorId> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Decoded {
            #[serde(rename = "Provider")]
            _provider: String,
            #[serde(rename = "Reference")]
            _reference: String,
        }
        let json = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        serde_json::from_str::<Decoded>(&json).ok()?;
        Some(ConnectorId {
            text: text.to_owned(),
            json,
        })
    }

    /// The id of some connector of provider `generic`. The ids of all of them have the same length.
    pub(super) fn of_any() -> ConnectorId {
        let json = r#"{"Provider":"generic","Reference":"00000000-0000-0000-0000-000000000000"}"#;
        ConnectorId {
            text: encode(json),
            json: json.to_owned(),
        }
    }

    /// The id of an account or a beneficiary; `None` if PostgreSQL cannot index it.
    pub fn account(&self, reference: &str) -> Option<String> {
        let reference = canonical(reference);
        let id = encode(&format!(
            "{{\"ConnectorID\":{},\"Reference\":{reference}}}",
            self.json
        ));
        (id.len() <= LONGEST_ID).then_some(id)
    }

    /// The id of a payment with a type of the Payments API.
    pub fn payment(&self, reference: &str, kind: &str) -> String {
        let (reference, kind) = (canonical(reference), canonical(kind));
        encode(&format!(
            "{{\"ConnectorID\":{},\"Reference\":{reference},\"Type\":{kind}}}",
            self.json
        ))
    }

    /// Whether PostgreSQL can index the id of an adjustment.
    pub fn can_index_adjustment(&self, payment: &str, reference: &str) -> bool {
        /// Bytes: the names of the fields, the date, the longest status and the longest type.
        const REST: usize = 160;
        let length = self.json.len() + canonical(payment).len() + canonical(reference).len() + REST;
        length.div_ceil(3) * 4 <= LONGEST_ID
    }
}

fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

/// A string in canonical JSON, which escapes only the quotation mark, the backslash and control characters.
fn canonical(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\u{8}' => json.push_str("\\b"),
            '\t' => json.push_str("\\t"),
            '\n' => json.push_str("\\n"),
            '\u{c}' => json.push_str("\\f"),
            '\r' => json.push_str("\\r"),
            // Writing to a String cannot fail.
            '\0'..='\u{1f}' => drop(write!(json, "\\u{:04X}", u32::from(character))),
            other => json.push(other),
        }
    }
    json.push('"');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTOR: &str = "eyJQcm92aWRlciI6ImdlbmVyaWMiLCJSZWZlcmVuY2UiOiIwYmE0MDNiYi0zYzlmLTQ2OTUtYmQxZC0yYmQ5ZDdiMjgwOTQifQ";

    #[test]
    fn ids_are_those_that_formance_makes() {
        let connector = ConnectorId::decode(CONNECTOR).unwrap();
        assert_eq!(
            connector.account("acc-001").unwrap(),
            "eyJDb25uZWN0b3JJRCI6eyJQcm92aWRlciI6ImdlbmVyaWMiLCJSZWZlcmVuY2UiOiIwYmE0MDNiYi0zYzlmLTQ2OTUtYmQxZC0yYmQ5ZDdiMjgwOTQifSwiUmVmZXJlbmNlIjoiYWNjLTAwMSJ9"
        );
        assert_eq!(
            connector.payment("tx-001", "PAY-IN"),
            "eyJDb25uZWN0b3JJRCI6eyJQcm92aWRlciI6ImdlbmVyaWMiLCJSZWZlcmVuY2UiOiIwYmE0MDNiYi0zYzlmLTQ2OTUtYmQxZC0yYmQ5ZDdiMjgwOTQifSwiUmVmZXJlbmNlIjoidHgtMDAxIiwiVHlwZSI6IlBBWS1JTiJ9"
        );
    }

    #[test]
    fn canonical_json_escapes_no_more_than_it_must() {
        assert_eq!(
            canonical("a\"b\\c/d\u{8}\t\n\u{c}\r\u{1}\u{1f}\u{7f}é\u{2028}<&>😀"),
            "\"a\\\"b\\\\c/d\\b\\t\\n\\f\\r\\u0001\\u001F\u{7f}é\u{2028}<&>😀\""
        );
    }

    #[test]
    fn a_name_is_no_id() {
        for name in [
            "",
            "acme",
            "acme-bank",
            "e30",
            CONNECTOR.trim_end_matches('Q'),
        ] {
            assert_eq!(ConnectorId::decode(name), None, "{name}");
        }
        assert_eq!(ConnectorId::decode(CONNECTOR).unwrap().text, CONNECTOR);
        assert_eq!(ConnectorId::of_any().text.len(), CONNECTOR.len());
    }
}
