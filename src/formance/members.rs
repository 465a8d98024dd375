use crate::api::{Members, is_other_spelling};

/// Go's encoding/json refuses a text that is nested deeper than 10,000, even in a member that it ignores. No field of the
/// API needs more than three levels.
pub(super) const DEEPEST: usize = 1_000;

/// Removes the members of an object that Go would misread, if it reads `fields` from it, and writes the others under the
/// names of their fields.
///
/// Go matches names without regard to case, and the last match wins, so that `"ID"` would replace `"id"`.
pub(super) fn drop_unreadable(object: &mut Members, fields: &[&'static str]) {
    if object.other_spelling(fields).is_some() {
        for field in fields {
            object.respell(field);
        }
        object.retain(|name, _| !is_other_spelling(name, fields));
    }
    object.retain(|_, json| !is_deeper_than(json, DEEPEST));
}

fn is_deeper_than(json: &str, most: usize) -> bool {
    // A short text cannot be nested deep.
    json.len() > most && depth(json) > most
}

/// How deep arrays and objects are nested in a JSON text.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_nested_too_deep_is_found() {
        assert_eq!(depth(r#"{"a":[1,{"b":"[[[\"[["}],"c":"\\"}"#), 3);
        let mut object = Members::read(r#"{"a":[[[1]]],"b":[["long"]],"c":"[[[[["}"#).unwrap();
        object.retain(|_, json| !is_deeper_than(json, 2));
        assert_eq!(object.write(), r#"{"b":[["long"]],"c":"[[[[["}"#);
    }

    #[test]
    fn another_spelling_of_a_field_is_dropped_or_takes_its_name() {
        let json = r#"{"id":"a","ID":7,"Id":8,"\u017fcheme":1,"idx":2,"i d":3}"#;
        let mut object = Members::read(json).unwrap();
        drop_unreadable(&mut object, &["id", "scheme"]);
        assert_eq!(object.write(), r#"{"id":"a","scheme":1,"idx":2,"i d":3}"#);
    }
}
