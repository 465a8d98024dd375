//! What a configuration that cannot be used is answered, one line a mistake, and what is legal but unwise.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::Session;
use crate::support::{LISTEN_KEY, OBSERVE_KEY, Place, run};

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:9";

/// What `check --only targets` says of a configuration with those keys, null for one that is not there.
fn with(session: &mut Session, keys: &Value) {
    session.line(&format!("# {keys}"));
    checked(session, &Place::new(NOWHERE, keys.clone()));
}

/// What `check --only targets` says of a configuration file with that text.
fn text(session: &mut Session, text: &str) {
    let place = Place::new(NOWHERE, json!({}));
    fs::write(place.config(), text).unwrap();
    session.line(&format!("# {}", text.escape_debug()));
    checked(session, &place);
}

fn checked(session: &mut Session, place: &Place) {
    session.on(place, "check --only targets");
}

#[test]
fn what_is_no_configuration() {
    let mut session = Session::new();
    session.runs("run --config /nowhere/generic.json");
    for json in [
        "",
        "name = x",
        "[]",
        "{ \"name\": \"x\", }",
        "\u{feff}{ \"name\": \"x\" }",
        "{ \"name\": \"x\", \"endpoint\": \"http://127.0.0.1:9\", \"apiKey\": \"a\", \"apiKey\": \"b\" }",
    ] {
        text(&mut session, json);
    }
    session.is("configuration-file");
}

#[test]
fn what_is_wrong_with_a_key() {
    let mut session = Session::new();
    for keys in [
        json!({ "pagesize": 5 }),
        json!({ "poolingPeriod": "2m" }),
        json!({ "zzz": 1 }),
        json!({ "name": null }),
        json!({ "name": 5 }),
        json!({ "name": "a/b" }),
        json!({ "endpoint": null }),
        json!({ "endpoint": "integration.example.com" }),
        json!({ "endpoint": "ftp://example.com" }),
        json!({ "endpoint": "https://" }),
        json!({ "endpoint": "https://user:password@example.com" }),
        json!({ "endpoint": "https://example.com/?a=b" }),
        json!({ "pageSize": 0 }),
        json!({ "pageSize": "100" }),
        json!({ "workers": 1000 }),
        json!({ "batchRecords": -1 }),
        json!({ "maxBodyBytes": 1.5 }),
        json!({ "maxRequestsPerSecond": 0 }),
        json!({ "pollingPeriod": "soon" }),
        json!({ "pollingPeriod": "0s" }),
        json!({ "sweepPeriod": true }),
        json!({ "lookback": 60 }),
        json!({ "requestTimeout": "-1s" }),
        json!({ "caFile": "nowhere" }),
        json!({ "proxy": "http://" }),
        json!({ "stateDir": "" }),
    ] {
        with(&mut session, &keys);
    }
    session.is("configuration-keys");
}

#[test]
fn what_is_wrong_with_a_secret() {
    let mut session = Session::new();
    for keys in [
        json!({ "apiKey": null }),
        json!({ "apiKey": "" }),
        json!({ "apiKey": 5 }),
        json!({ "apiKey": "a\nb" }),
        json!({ "apiKeyFile": "key" }),
        json!({ "apiKey": null, "apiKeyFile": "nowhere" }),
        json!({ "apiKey": null, "apiKeyFile": 5 }),
    ] {
        with(&mut session, &keys);
    }
    for (content, mode) in [("the-key\n", 0o644), ("\n", 0o600)] {
        let place = Place::new(NOWHERE, json!({ "apiKey": null, "apiKeyFile": "key" }));
        let file = place.path().join("key");
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        session.line(&format!(
            "# a key file of mode {mode:o}: {}",
            content.escape_debug()
        ));
        checked(&mut session, &place);
    }
    session.is("configuration-secrets");
}

#[test]
fn what_is_wrong_with_the_listener() {
    let mut session = Session::new();
    for keys in [
        json!({ "listen": "127.0.0.1:0" }),
        json!({ "listen": "localhost", "listenKey": LISTEN_KEY }),
        json!({ "listen": "127.0.0.1:0", "listenKey": "" }),
        json!({ "listen": "127.0.0.1:0", "listenKey": "a", "listenKeyFile": "b" }),
        json!({ "listenKey": LISTEN_KEY }),
        json!({ "observeKey": OBSERVE_KEY }),
        json!({ "observe": "127.0.0.1:0" }),
        json!({ "observe": "9464", "observeKey": OBSERVE_KEY }),
        json!({ "observe": "127.0.0.1:0", "observeKeyFile": "nowhere" }),
        json!({ "listen": "127.0.0.1:8080", "listenKey": LISTEN_KEY, "observeKey": LISTEN_KEY }),
        json!({
            "listen": "127.0.0.1:8080", "listenKey": LISTEN_KEY, "observe": "127.0.0.1:8080", "observeKey": OBSERVE_KEY,
        }),
    ] {
        with(&mut session, &keys);
    }
    session.line("# neither \"listen\" nor \"publish\"");
    session.on(&Place::new(NOWHERE, json!({})), "run");
    session.is("configuration-listener");
}

#[test]
fn what_is_wrong_with_a_target() {
    let formance = |fields: Value| {
        let mut entry = json!({
            "type": "formance", "url": "https://stack.example.com", "connector": "acme", "clientId": "id",
            "clientSecret": "se-cret",
        });
        entry
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!([entry])
    };
    let mut session = Session::new();
    for publish in [
        json!({}),
        json!([]),
        json!([5]),
        json!([{}]),
        json!([{ "type": "kafka" }]),
        json!([{ "type": "ndjson" }]),
        json!([{ "type": "ndjson", "pth": "x", "path": "y" }]),
        json!([{ "type": "ndjson", "path": "a", "name": "a\nb" }]),
        json!([{ "type": "ndjson", "path": "a" }, { "type": "ndjson", "path": "b" }]),
        json!([{ "type": "ndjson", "path": "a" }, { "type": "ndjson", "name": "b", "path": "a" }]),
        json!([{ "type": "http" }]),
        json!([{ "type": "http", "url": "warehouse" }]),
        json!([{ "type": "http", "url": "https://example.com", "apiKey": "a", "apiKeyFile": "b" }]),
        formance(json!({ "url": null })),
        formance(json!({ "url": "stack" })),
        formance(json!({ "url": "https://user:password@example.com" })),
        formance(json!({ "url": "https://example.com/?a=se-cret" })),
        formance(json!({ "connector": null })),
        formance(json!({ "clientId": null })),
        formance(json!({ "clientSecret": null })),
        formance(json!({ "clientSecretFile": "x" })),
        formance(json!({ "clientSecret": null, "clientSecretFile": "nowhere" })),
        formance(json!({ "requestTimeout": "0s" })),
        formance(json!({ "caFile": "nowhere" })),
        formance(json!({ "apiKey": "x" })),
    ] {
        with(&mut session, &json!({ "publish": publish }));
    }
    session.is("configuration-targets");
}

#[test]
fn what_is_legal_but_unwise() {
    let mut session = Session::new();
    let place = Place::new(
        "http://integration.example.com",
        json!({ "listen": "0.0.0.0:8080", "listenKey": "short", "observe": "0.0.0.0:9464", "observeKey": "too", "publish": [
            { "type": "http", "url": "http://warehouse.example.invalid/changes", "requestTimeout": "2s" },
        ] }),
    );
    fs::set_permissions(place.config(), fs::Permissions::from_mode(0o644)).unwrap();
    let mut checked = run(place.command("check --only targets"));
    // That the target is not reached says each machine in its own way.
    checked.stdout = checked
        .stdout
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("FAILED"))
        .collect();
    session.hide(place.path().to_str().unwrap(), "[FOLDER]");
    session.ran("check --only targets", &checked);
    let listening = json!({ "listen": "127.0.0.1:8080", "listenKey": LISTEN_KEY, "publish": [
        { "type": "formance", "url": NOWHERE, "connector": "acme" },
    ] });
    session.on(&Place::new(NOWHERE, listening), "check --only targets");
    session.on(&Place::new(NOWHERE, json!({})), "check --only targets");
    session.is("configuration-warnings");
}
