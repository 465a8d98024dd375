//! Bad configuration: exit 78, with the key, the value and the fix.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use generic_connector::{ENTRY_KEYS, FILE_KEYS};
use serde_json::{Value, json};

use crate::formance::{CLIENT_SECRET, Connectivity};
use crate::support::{FakePsp, KEY, Place, TestAnswer, TestServer, binary, run};

pub const ENDPOINT: &str = "http://127.0.0.1:9";

/// Every command that starts a connector ends with an error. A row is keys of the configuration, an arrow, and parts of
/// the message.
pub fn rejected(rows: &str) {
    for row in rows.lines().filter(|row| !row.trim().is_empty()) {
        let (keys, said) = row.split_once(" -> ").unwrap();
        let place = Place::new(ENDPOINT, serde_json::from_str(keys).unwrap());
        for command in ["poll", "run"] {
            let ran = run(place.command(command));
            assert_eq!(ran.code, Some(78), "{row}: {ran}");
            for part in said.split('…').map(str::trim) {
                assert!(ran.stderr.contains(part), "{part:?} is not said: {ran}");
            }
            assert!(ran.stderr.contains("generic.json"), "{ran}");
            assert!(!ran.stderr.contains("s3cret"), "{ran}");
            assert!(!place.state().exists(), "something was started");
        }
    }
}

#[test]
fn a_missing_file() {
    let mut command = binary();
    command.args(["poll", "--config", "/nowhere/generic.json"]);
    let ran = run(command);
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(
        ran.stderr.contains("/nowhere/generic.json") && ran.stderr.contains("No such file"),
        "{ran}"
    );
}

#[test]
fn what_is_not_json_or_no_object() {
    let place = Place::new(ENDPOINT, json!({}));
    fs::write(place.config(), b"\xff\xfe{\0}\0").unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(ran.stderr.contains("not UTF-8"), "{ran}");
    for (text, said) in [
        ("name = x", "not JSON"),
        ("[]", "not a JSON object"),
        ("", "not JSON"),
        ("{ \"name\": \"test\", }", "not JSON"),
        ("{} {}", "not JSON"),
        ("{ \"name\": \"\\ud800\" }", "not JSON"),
        (
            "\u{feff}{}",
            "starts with a byte order mark: save it as UTF-8",
        ),
    ] {
        fs::write(place.config(), text).unwrap();
        let ran = place.poll();
        assert_eq!(ran.code, Some(78), "{ran}");
        assert!(ran.stderr.contains(said), "{ran}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    rejected(
        r#"
        { "pagesize": 5 } -> unknown key "pagesize": did you mean "pageSize"?
        { "poolingPeriod": "2m" } -> did you mean "pollingPeriod"?
        { "LISTENkey": "s3cret" } -> unknown key "LISTENkey": did you mean "listenKey"?
        { "zzz": 1 } -> unknown key "zzz": the known keys are apiKey, apiKeyFile, balancesPeriod, batchRecords
        { "publish": [{ "type": "ndjson", "pth": "x", "path": "y" }] } -> publish: unknown key "pth": did you mean "path"?
        { "publish": [{ "type": "ndjson", "url": "https://x", "path": "y" }] } -> publish: unknown key "url": the known keys are group, mode, name, path, type
        "#,
    );
}

#[test]
fn a_key_given_twice_is_an_error() {
    let place = Place::new(ENDPOINT, json!({}));
    for (keys, said) in [
        (
            r#""pageSize": 5, "pageSize": 6"#,
            "\"pageSize\" is given twice",
        ),
        (
            r#""pageSize": null, "pageSize": 6"#,
            "\"pageSize\" is given twice",
        ),
        (
            r#""apiKey": "se-cret""#,
            "\"apiKey\" is given twice: keep one",
        ),
        (
            r#""publish": [{ "type": "ndjson", "path": "a", "path": "b" }]"#,
            "publish: \"path\" is given twice",
        ),
    ] {
        let text =
            format!(r#"{{ "name": "test", "endpoint": "{ENDPOINT}", "apiKey": "{KEY}", {keys} }}"#);
        fs::write(place.config(), text).unwrap();
        let ran = place.poll();
        assert_eq!(ran.code, Some(78), "{ran}");
        assert!(ran.stderr.contains(said), "{said}: {ran}");
        assert!(
            !ran.stderr.contains("se-cret") && !ran.stderr.contains(KEY),
            "{ran}"
        );
    }
}

#[test]
fn a_value_that_may_hold_a_secret_is_not_shown() {
    rejected(
        r#"
        { "apiKey": ["s3cret"] } -> "apiKey" has a bad value (not shown): write a string
        { "listenKey": { "a": "s3cret" } } -> "listenKey" has a bad value (not shown): write a string
        { "proxy": "s3cret://" } -> "proxy" has a bad value (not shown): use a URL
        { "endpoint": "https://u:s3cret@x" } -> "endpoint" has a bad value (not shown): remove the user and the password
        { "endpoint": "https://x?token=s3cret" } -> "endpoint" has a bad value (not shown): remove the query
        { "publish": [{ "type": "http", "apiKey": ["s3cret"] }] } -> publish: "apiKey" has a bad value (not shown)
        "#,
    );
    // A brace in the wrong place.
    rejected(
        r#"
        { "name": { "apiKey": "s3cret" } } -> "name" has a bad value (not shown): write a string
        { "publish": { "apiKey": "s3cret" } } -> "publish" has a bad value (not shown): write a list of objects
        "#,
    );
}

#[test]
fn null_counts_as_absent() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    let keys: String = FILE_KEYS
        .iter()
        .filter(|key| !["name", "endpoint", "apiKey"].contains(&key.name))
        .map(|key| format!(", \"{}\": null", key.name))
        .collect();
    let text = format!(
        r#"{{ "name": "test", "endpoint": "{}", "apiKey": "{KEY}"{keys} }}"#,
        psp.url()
    );
    fs::write(place.config(), text).unwrap();
    place.poll_well();
}

#[test]
fn every_key_has_a_sentence() {
    for key in FILE_KEYS.iter().chain(ENTRY_KEYS) {
        assert!(
            key.about.ends_with('.') && !key.form.is_empty(),
            "{}",
            key.name
        );
    }
}

#[test]
fn wrong_types_and_values() {
    rejected(
        r#"
        { "name": 5 } -> "name" is 5: write a string in double quotes
        { "name": null } -> "name" is missing
        { "name": "a/b" } -> "name" is "a/b": use 1 to 500 characters without "/"
        { "pageSize": 0 } -> "pageSize" is 0: write a whole number from 1 to 10000
        { "pageSize": "100" } -> "pageSize" is "100": write a whole number
        { "workers": 0 } -> "workers" is 0: write a whole number from 1 to 512
        { "batchRecords": -1 } -> "batchRecords" is -1: write a whole number from 1 to 1000000
        { "maxBodyBytes": 1.5 } -> "maxBodyBytes" is 1.5: write a whole number from 1024 to 1073741824
        { "maxRequestsPerSecond": 0 } -> "maxRequestsPerSecond" is 0: write a number from 0.001 to 1000000
        { "pollingPeriod": "soon" } -> "pollingPeriod" is "soon": write a duration such as "500ms", "30s", "2m" or "1h30m0s"
        { "pollingPeriod": "0s" } -> "pollingPeriod" is "0s": it must be longer than 0
        { "requestTimeout": "-1s" } -> "requestTimeout" is "-1s": write a duration
        { "lookback": 60 } -> "lookback" is 60: write a duration
        { "proxy": "http://" } -> "proxy"
        { "stateDir": "" } -> "stateDir" is "": name a directory, or remove the key
        { "caFile": "nowhere" } -> "caFile" is "nowhere": cannot read … nowhere: No such file
        "#,
    );
}

#[test]
fn publishers() {
    rejected(
        r#"
        { "publish": {} } -> "publish" … list of objects
        { "publish": [] } -> "publish" is an empty list
        { "publish": [{ "path": "a" }] } -> "publish": an entry has no "type"
        { "publish": [{ "type": "kafka" }] } -> publish: "type" is "kafka": the known types are "formance", "http" and "ndjson"
        { "publish": [{ "type": "ndjson" }] } -> "publish": the ndjson entry needs a "path"
        { "publish": [{ "type": "ndjson", "path": "a" }, { "type": "ndjson", "path": "b" }] } -> unique "name"
        { "publish": [{ "type": "ndjson", "path": "a", "name": "a\nb" }] } -> without control characters
        { "publish": [{ "type": "ndjson", "path": "a" }, { "type": "ndjson", "name": "b", "path": "a" }] } -> already writes there
        "#,
    );
}

#[test]
fn endpoints() {
    rejected(
        r#"
        { "endpoint": null } -> "endpoint" is missing
        { "endpoint": "integration.example.com" } -> "endpoint" is "integration.example.com": start it with https://
        { "endpoint": "ftp://example.com" } -> "endpoint" is "ftp://example.com": start it with https://
        { "endpoint": "https://u:p@example.com" } -> not shown … remove the user and the password
        { "endpoint": "https://example.com/?a=b" } -> remove the query
        { "endpoint": "https://example.com/#x" } -> remove the query and the fragment
        { "endpoint": "https://" } -> "endpoint" is "https://"
        { "endpoint": "http://127.0.0.1:99999" } -> "endpoint" is "http://127.0.0.1:99999": use a port from 1 to 65535
        { "endpoint": "https://[::1]:65536" } -> "endpoint" is "https://[::1]:65536": use a port from 1 to 65535
        { "endpoint": "https://example.com:0" } -> use a port from 1 to 65535
        { "endpoint": "https://example.com:-1" } -> "endpoint" is "https://example.com:-1": use a
        { "proxy": "http://proxy.example.com:99999" } -> "proxy" has a bad value (not shown): use a URL
        { "proxy": "socks5://proxy.example.com" } -> "proxy" has a bad value (not shown): use a URL
        { "listen": "127.0.0.1:99999", "listenKey": "s3cret" } -> "listen" is "127.0.0.1:99999": use an IP address
        { "publish": [{ "type": "http", "url": "https://example.com:99999" }] } -> publish: "url" is "https://example.com:99999": use a port
        "#,
    );
}

#[test]
fn keys() {
    rejected(
        &r#"
        { "apiKey": null } -> no key: set "apiKey"
        { "apiKey": "" } -> "apiKey" is empty
        { "apiKey": "  " } -> "apiKey" is empty
        { "apiKey": "a\nb" } -> "apiKey" has more than one line
        { "apiKey": "\u00e4" } -> "apiKey" has characters that an HTTP header cannot carry
        { "apiKey": "LONG" } -> "apiKey" is longer than 16000 bytes
        { "apiKey": 5 } -> "apiKey" has a bad value (not shown)
        { "apiKeyFile": "key" } -> both "apiKey" and "apiKeyFile" are set
        { "apiKey": null, "apiKeyFile": "nowhere" } -> "apiKeyFile": cannot read … nowhere: No such file
        { "apiKey": null, "apiKeyFile": "no\nwhere" } -> no\nwhere: No such file
        { "listenKey": "s3cret" } -> "listenKey" is set, but "listen" is not
        { "listenKeyFile": "x" } -> "listenKeyFile" is set, but "listen" is not
        "#
        .replace("LONG", &"k".repeat(16_001)),
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    rejected(
        r#"
        { "name": null, "endpoint": null, "apiKey": null } -> "name" is missing … also, "endpoint" is missing … also, no key: set "apiKey"
        { "listen": "127.0.0.1:0", "observe": "127.0.0.1:0" } -> no key: set "listenKey" … also, no key: set "observeKey"
        { "name": null, "listenKey": "s3cret" } -> "name" is missing … also, "listenKey" is set, but "listen" is not
        { "publish": [{ "type": "ndjson" }, { "type": "http" }] } -> needs a "path" … also, "publish": the entry "http" needs a "url"
        { "listen": "127.0.0.1:9464", "listenKey": "listens-s3cret-key", "observe": "0.0.0.0:9464", "observeKey": "looks-s3cret-key" } -> "observe" is 0.0.0.0:9464 … is 127.0.0.1:9464, which is the same port
        "#,
    );
}

#[test]
fn a_key_file_that_others_can_read_is_an_error() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({ "apiKey": null, "apiKeyFile": "key" }));
    let file = place.path().join("key");
    fs::write(&file, format!("{KEY}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(
        ran.stderr.contains("\"apiKeyFile\"") && ran.stderr.contains("chmod o-rwx"),
        "{ran}"
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    place.poll_well();
    fs::write(&file, "\n").unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(ran.stderr.contains("is empty"), "{ran}");
}

#[test]
fn a_key_among_systemds_credentials_is_found() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({ "apiKey": null }));
    let credentials = tempfile::tempdir().unwrap();
    let pass = |name: &str, key: &str| {
        let file = credentials.path().join(name);
        fs::write(&file, key).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
    };
    let poll = || {
        let mut command = place.command("poll");
        command.env("CREDENTIALS_DIRECTORY", credentials.path());
        run(command)
    };
    let ran = poll();
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(ran.stderr.contains("no key: set \"apiKey\""), "{ran}");
    fs::create_dir(credentials.path().join("apiKey")).unwrap();
    let ran = poll();
    let said = "a credential of the unit: cannot read ";
    assert!(ran.code == Some(78) && ran.stderr.contains(said), "{ran}");
    fs::remove_dir(credentials.path().join("apiKey")).unwrap();
    // Of a folder that is loaded as `keys`.
    pass("keys_apiKey", KEY);
    let ran = poll();
    assert_eq!(ran.code, Some(0), "{ran}");
    // One of its own goes before it.
    pass("apiKey", KEY);
    pass("keys_apiKey", "another");
    let ran = poll();
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn what_is_legal_but_unwise_is_warned_about() {
    let place = Place::new("http://192.0.2.1:1", json!({ "requestTimeout": "10ms" }));
    fs::set_permissions(place.config(), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = place.poll();
    assert!(
        ran.stderr.contains("WARN") && ran.stderr.contains("unencrypted"),
        "{ran}"
    );
    assert!(
        ran.stderr.contains("every user of this machine can read"),
        "{ran}"
    );
    for well in [
        ENDPOINT,
        "http://LOCALHOST:9",
        "HTTPS://integration.invalid",
    ] {
        let ran = Place::new(well, json!({})).poll();
        assert!(!ran.stderr.contains("WARN"), "{ran}");
    }
}

#[test]
fn run_with_nothing_to_deliver_to_says_what_to_add() {
    let ran = run(Place::new(ENDPOINT, json!({})).command("run"));
    assert_eq!(ran.code, Some(78), "{ran}");
    for key in ["\"listen\"", "\"listenKey\"", "\"publish\""] {
        assert!(ran.stderr.contains(key), "{ran}");
    }
}

#[test]
fn the_configuration_of_formances_own_connector_works_unchanged() {
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    let text = format!(
        r#"{{ "name": "acme-bank", "endpoint": "{}/", "apiKey": "{KEY}", "pollingPeriod": "2m" }}"#,
        psp.url()
    );
    fs::write(place.config(), text).unwrap();
    place.poll_well();
    assert_eq!(place.changes().len(), 255);
}

#[test]
fn the_shipped_example_is_valid() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/generic.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(example).unwrap()).unwrap();
    let psp = FakePsp::with_a_bank();
    let place = Place::new(&psp.url(), json!({}));
    config["endpoint"] = psp.url().into();
    config["apiKey"] = KEY.into();
    config["stateDir"] = "state".into();
    let stack = Connectivity::start();
    config["publish"][0]["url"] = stack.url().into();
    config["publish"][0]["clientId"] = stack.entry()["clientId"].clone();
    config["publish"][0]["connector"] = "acme".into();
    let warehouse = TestServer::start(|_| TestAnswer::new(200, ""));
    config["publish"][1]["url"] = format!("http://{}/changes", warehouse.address()).into();
    config["publish"][2]["path"] = "state/changes.ndjson".into();
    fs::write(place.config(), config.to_string()).unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(
        ran.stderr
            .contains("put it in keys/formance.clientSecret beside the configuration"),
        "{ran}"
    );
    // As systemd hands it over.
    let credential = place.path().join("keys_formance.clientSecret");
    fs::write(&credential, CLIENT_SECRET).unwrap();
    fs::set_permissions(&credential, fs::Permissions::from_mode(0o440)).unwrap();
    let mut command = place.command("poll");
    command.env("CREDENTIALS_DIRECTORY", place.path());
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(place.changes().len(), 255);
    assert_eq!(stack.payments().len(), 250);
}

#[test]
fn a_target_that_cannot_be_used_is_named_with_its_fix() {
    let formance = |fields: Value| {
        let mut entry = json!({
            "type": "formance", "url": "https://stack.example.com", "connector": "acme", "clientId": "id",
            "clientSecret": "se-cret",
        });
        for (key, value) in fields.as_object().unwrap() {
            entry[key] = value.clone();
        }
        entry
    };
    let http = |url: &str| json!({ "type": "http", "url": url });
    for (entries, said) in [
        (
            json!([{ "type": "kafka" }]),
            "publish: \"type\" is \"kafka\": the known types are \"formance\", \"http\" and \"ndjson\"",
        ),
        (
            json!([formance(json!({ "url": null }))]),
            "the entry \"formance\" needs a \"url\", such as",
        ),
        (
            json!([formance(json!({ "url": "stack" }))]),
            "publish: \"url\" is \"stack\": start it with https://",
        ),
        (
            json!([formance(json!({ "url": "https://u:p4ss@x" }))]),
            "publish: \"url\" has a bad value (not shown)",
        ),
        (
            json!([formance(json!({ "connector": null }))]),
            "needs a \"connector\": the name or the id of a connector",
        ),
        (
            json!([formance(json!({ "clientId": null }))]),
            "has a \"clientSecret\" and no \"clientId\"",
        ),
        (
            json!([formance(json!({ "clientSecret": null }))]),
            "has a \"clientId\" and no secret: set \"clientSecret\"",
        ),
        (
            json!([formance(json!({ "clientSecretFile": "x" }))]),
            "both \"clientSecret\" and \"clientSecretFile\" are set",
        ),
        (
            json!([formance(
                json!({ "clientSecret": null, "clientSecretFile": "nowhere" })
            )]),
            "publisher \"formance\": \"clientSecretFile\": cannot read",
        ),
        (
            json!([formance(json!({ "requestTimeout": "0s" }))]),
            "\"requestTimeout\" is \"0s\": it must be longer",
        ),
        (
            json!([formance(json!({ "caFile": "nowhere" }))]),
            "\"caFile\" is \"nowhere\": cannot read",
        ),
        (
            json!([formance(json!({ "apiKey": "x" }))]),
            "unknown key \"apiKey\"",
        ),
        (
            json!([formance(json!({ "url": "https://x/?a=se-cret" }))]),
            "remove the query and the fragment",
        ),
        (json!([http("https://x"), http("https://y")]), "\"name\""),
    ] {
        let place = Place::new("http://127.0.0.1:1", json!({ "publish": entries }));
        let ran = run(place.command("check"));
        assert_eq!(ran.code, Some(78), "{said}: {ran}");
        assert!(ran.stderr.contains(said), "{said}: {ran}");
        assert!(
            !ran.stderr.contains("se-cret") && !ran.stderr.contains("p4ss"),
            "{ran}"
        );
    }
}
