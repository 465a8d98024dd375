//! The command `check --only targets`: it finds what is wrong with the configuration and the targets, names the fix, and
//! writes nothing.

use serde_json::{Value, json};

use crate::formance::push::place;
use crate::formance::push::{changed, is_right, small_bank};
use crate::formance::{CLIENT_SECRET, CONNECTOR_SECRET, Connectivity};
use crate::support::{FakePsp, Mishap, Place, Ran, TestAnswer, TestServer, run};

/// A place whose entry differs.
fn differing(psp: &FakePsp, stack: &Connectivity, fields: Value) -> Place {
    let mut entry = stack.entry();
    for (key, value) in fields.as_object().unwrap() {
        entry[key] = value.clone();
    }
    Place::new(&psp.url(), json!({ "publish": [entry] }))
}

fn check(place: &Place) -> Ran {
    run(place.command("check --only targets"))
}

#[test]
fn check_finds_what_is_wrong_and_writes_nothing() {
    let psp = FakePsp::start();
    let stack = Connectivity::start();
    let good = place(&psp, &stack);
    let checked = check(&good);
    assert_eq!(checked.code, Some(0), "{checked}");
    assert!(
        checked.stdout.contains(
            "ok       formance: url, credentials and connector: the connector \"acme\" is installed"
        ) && checked
            .stdout
            .contains("ok       formance: scope payments:write: the client may write"),
        "{checked}"
    );
    assert!(!good.state().exists());
    assert!(stack.accounts().is_empty());
    let id = stack.connector_id();
    let by_id = differing(&psp, &stack, json!({ "connector": id }));
    assert_eq!(check(&by_id).code, Some(0));
    for (fields, said) in [
        (
            json!({ "connector": "acme-bank" }),
            "has no connector whose name is \"acme-bank\"",
        ),
        (
            json!({ "connector": "cards" }),
            "is of provider \"stripe\", which accepts no pushed objects",
        ),
        (
            json!({ "clientSecret": "wrong" }),
            "Formance issues no token; check \"clientId\"",
        ),
        (
            json!({ "clientId": "wrong" }),
            "Formance issues no token; check \"clientId\"",
        ),
        (
            json!({ "clientId": null, "clientSecret": null }),
            "the API requires a token; set \"clientId\"",
        ),
        (
            json!({ "url": format!("{}/nowhere", stack.url()) }),
            "answered 404",
        ),
    ] {
        let checked = check(&differing(&psp, &stack, fields));
        assert_eq!(checked.code, Some(2), "{checked}");
        assert!(
            checked.stdout.contains("FAILED   formance:") && checked.stdout.contains(said),
            "{said}: {checked}"
        );
        assert!(
            !checked.stdout.contains(CONNECTOR_SECRET) && !checked.stdout.contains(CLIENT_SECRET)
        );
    }
    stack.scopes(&["payments:read"]);
    let checked = check(&good);
    assert!(
        checked
            .stdout
            .contains("FAILED   formance: scope payments:write:")
            && checked
                .stdout
                .contains("allow the client the scopes payments:read and payments:write"),
        "{checked}"
    );
    stack.go_down();
    let checked = check(&good);
    assert!(checked.stdout.contains("connection refused"), "{checked}");
}

#[test]
fn a_bare_service_wants_no_token() {
    let psp = small_bank();
    let stack = Connectivity::start();
    stack.without_auth();
    let place = differing(
        &psp,
        &stack,
        json!({ "clientId": null, "clientSecret": null }),
    );
    assert_eq!(check(&place).code, Some(0));
    place.poll_well();
    changed(&psp);
    place.poll_well();
    is_right(&stack, "without a token");
    assert_eq!(stack.tokens_given(), 0);
    assert!(
        stack
            .exchanges()
            .iter()
            .all(|(asked, _)| asked.path.starts_with("/v3/"))
    );
}

#[test]
fn check_says_whether_the_target_answers() {
    let psp = FakePsp::start();
    let web = TestServer::start(|asked| {
        assert_eq!(asked.method, "HEAD");
        TestAnswer::new(405, "")
    });
    let check = |url: String| {
        let entry = json!({ "type": "http", "url": url, "apiKey": "key-of-the-target" });
        let missing = json!({ "type": "ndjson", "path": "nowhere/changes" });
        let place = Place::new(&psp.url(), json!({ "publish": [entry, missing] }));
        run(place.command("check --only targets"))
    };
    let url = format!("http://{}/changes", web.address());
    let checked = check(url.clone());
    assert_eq!(checked.code, Some(2), "{checked}");
    assert!(
        checked.stdout.contains("ok       http: url: HEAD")
            && checked
                .stdout
                .contains("FAILED   ndjson: path: there is no directory"),
        "{checked}"
    );
    // Beside a check of the service, too.
    let both = Place::new(
        &psp.url(),
        json!({ "publish": [{ "type": "http", "url": url, "apiKey": "key-of-the-target" }] }),
    );
    let both = run(both.command("check --only L1,targets"));
    assert!(
        both.stdout.contains("pass  L1") && both.stdout.contains("ok       http: url: HEAD"),
        "{both}"
    );
    web.script(|_| Mishap::Instead(TestAnswer::new(401, "")));
    let checked = check(url.clone());
    assert!(
        checked.stdout.contains("FAILED   http: url: HEAD")
            && checked.stdout.contains("refuses the key"),
        "{checked}"
    );
    drop(web);
    let checked = check(url);
    assert!(checked.stdout.contains("connection refused"), "{checked}");
    assert!(!checked.stdout.contains("key-of-the-target"));
}
