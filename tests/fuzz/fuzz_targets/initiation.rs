#![no_main]

use generic_connector::fuzzing::{Amount, Asset, InitiationRequest, Members, Timestamp, read_initiated};
use libfuzzer_sys::fuzz_target;

// A line with a request, and the service's answer: whatever is answered, Formance's client can read.
fuzz_target!(|data: &[u8]| {
    let line = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (request, answer) = data.split_at(line);
    let Ok(request) = InitiationRequest::read(request) else {
        return;
    };
    let asked = Members::read(&request.json).unwrap();
    assert_eq!(asked.text("idempotencyKey").unwrap(), request.idempotency_key);
    assert!(Amount::check(&asked.text("amount").unwrap()).is_ok());
    assert!(Asset::check(&asked.text("currency").unwrap()).is_ok());
    let Ok(initiated) = read_initiated(&request, answer) else {
        return;
    };
    let shown = Members::read(&initiated.json).unwrap();
    assert_eq!(shown.text("id").unwrap(), initiated.id);
    assert_eq!(shown.text("idempotencyKey").unwrap(), request.idempotency_key);
    assert!(Amount::check(&shown.text("amount").unwrap()).is_ok());
    assert!(Timestamp::parse(&shown.text("createdAt").unwrap()).is_ok());
    for field in ["currency", "sourceAccountId", "destinationAccountId", "status"] {
        assert!(shown.text(field).is_ok(), "{field}");
    }
    // Complete already, so it stays.
    let again = read_initiated(&request, initiated.json.as_bytes()).unwrap();
    assert_eq!(again.json, initiated.json);
});
