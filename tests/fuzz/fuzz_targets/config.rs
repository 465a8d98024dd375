//! The text of a configuration file.
#![no_main]

use std::path::Path;
use std::time::Duration;

use generic_connector::fuzzing::{Config, TargetConfig};
use generic_connector_fuzz::assert_message;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};

/// Nothing is there: no configuration finds a key, a certificate or another file behind it.
const FILE: &str = "/nonexistent/fuzzing/generic.json";

fuzz_target!(|text: &str| {
    let value: Option<Value> = serde_json::from_str(text).ok();
    // Nothing on this machine but the text may decide, and a device might never end.
    let leaves_the_folder = |value: &Value| {
        [
            "apiKeyFile",
            "caFile",
            "listenKeyFile",
            "observeKeyFile",
            "clientSecretFile",
        ]
        .iter()
        .filter_map(|key| value[key].as_str())
        .any(|path| Path::new(path).is_absolute())
    };
    if let Some(value) = &value {
        let entries = value["publish"].as_array().into_iter().flatten();
        if std::iter::once(value).chain(entries).any(leaves_the_folder) {
            return;
        }
    }
    check(text);
    if let Some(Value::Object(object)) = value {
        check_secrecy(object);
    }
});

fn check(text: &str) -> String {
    let config = match Config::parse(text, Path::new(FILE)) {
        Ok(config) => config,
        Err(error) => {
            let message = error.to_string();
            assert_message(&message);
            assert!(message.starts_with(FILE), "{message}");
            return message;
        }
    };
    let name = &config.identity.name;
    assert!((1..=500).contains(&name.len()));
    assert!(!name.chars().any(|c| c.is_control() || c == '/'));

    let endpoint = &config.identity.endpoint;
    assert_eq!(*endpoint, config.service.endpoint);
    assert!(!endpoint.contains(['?', '#', ' ']) && !endpoint.ends_with('/'));
    let authority = endpoint.split('/').nth(2).expect("scheme://authority");
    assert!(!authority.is_empty() && !authority.contains('@'));
    let again = serde_json::json!({ "name": name, "endpoint": endpoint, "apiKey": "a" });
    let again = Config::parse(&again.to_string(), Path::new(FILE)).expect("what was accepted");
    assert_eq!(again.identity.endpoint, *endpoint);

    let key = config.service.api_key.current();
    let key = key.expose();
    assert!(!key.is_empty() && key.chars().all(|c| c == ' ' || c.is_ascii_graphic()));
    assert!((1..=10_000).contains(&config.polling.page_size));
    assert!((1..=512).contains(&config.polling.workers));
    assert_eq!(config.polling.workers, config.service.transport.connections);
    assert!((1..=1_000_000).contains(&config.polling.batch_records));
    assert!((1024..=1 << 30).contains(&config.service.max_body_bytes));
    let rate = config.service.max_requests_per_second;
    assert!(rate.is_none_or(|rate| (0.001..=1e6).contains(&rate)));

    let ten_years = Duration::from_secs(10 * 366 * 86_400);
    for duration in [
        config.polling.period,
        config.service.transport.request_timeout,
    ] {
        assert!(duration > Duration::ZERO && duration <= ten_years);
    }
    assert!(config.polling.lookback <= ten_years.as_secs());
    assert!(!config.state_directory.as_os_str().is_empty());
    check_targets(config.publish.as_deref());
    assert!(
        !config
            .warnings
            .iter()
            .any(|it| it.contains(char::is_control))
    );
    format!("{config:?}")
}

fn check_targets(targets: Option<&[TargetConfig]>) {
    let Some(targets) = targets else {
        return;
    };
    assert!(!targets.is_empty());
    for (index, target) in targets.iter().enumerate() {
        assert!(!target.name.is_empty() && !target.name.contains(char::is_control));
        let earlier = &targets[..index];
        assert!(!earlier.iter().any(|it| it.name == target.name));
    }
}

/// Two secrets that are both good, or both bad, make no difference to anything that can be shown.
fn check_secrecy(object: Map<String, Value>) {
    check_password("endpoint", object.clone());
    check_password("proxy", object.clone());
    check_key(object.clone(), &[]);
    let entries = object.get("publish").and_then(Value::as_array);
    for index in 0..entries.map_or(0, Vec::len).min(4) {
        check_key(object.clone(), &[index]);
    }
}

fn check_password(place: &str, mut object: Map<String, Value>) {
    let url = object
        .get(place)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some((user, rest)) = url.split_once('@') else {
        return;
    };
    let Some((user, password)) = user.rsplit_once(':') else {
        return;
    };
    // Behind the host, an `@` is a part of the path like any other.
    let is_behind_host = user
        .split_once("://")
        .is_none_or(|(_, user)| user.contains(['/', '?', '#']));
    let is_plain = password.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_behind_host || password.is_empty() || !is_plain {
        return;
    }
    let other = format!("{user}:another@{rest}");
    let shown = check(&Value::Object(object.clone()).to_string());
    object.insert(place.to_owned(), other.into());
    assert_eq!(shown, check(&Value::Object(object).to_string()));
}

/// The keys of the whole configuration, or of an entry of `publish`.
fn check_key(object: Map<String, Value>, entry: &[usize]) {
    let whole = Value::Object(object);
    for name in ["apiKey", "clientSecret", "listenKey"] {
        let mut changed = whole.clone();
        let place = match entry {
            [] => &mut changed,
            [index, ..] => &mut changed["publish"][*index],
        };
        let Some(Value::String(key)) = place.get(name) else {
            continue;
        };
        let key = key.trim().to_owned();
        // Two keys that have the same problem, or none.
        let others = match key.as_str() {
            "" => continue,
            key if key.starts_with('\u{feff}') => ["\u{feff}one-key-of-all", "\u{feff}two\nkeys"],
            key if key.contains(['\n', '\r']) => {
                ["two-keys\nof-all-there-are", "clé-de-la\r-maison"]
            }
            key if key.chars().all(|c| c == ' ' || c.is_ascii_graphic()) => {
                ["one-key-of-all-there-are", "another-secret-key"]
            }
            _ => ["clé-de-la-maison-entière", "\u{7f}-secret-of-some-length"],
        };
        // A short listenKey is warned of.
        if name == "listenKey" && key.len() < 16 {
            continue;
        }
        let shown = check(&whole.to_string());
        for other in others {
            let place = match entry {
                [] => &mut changed,
                [index, ..] => &mut changed["publish"][*index],
            };
            place[name] = other.into();
            assert_eq!(shown, check(&changed.to_string()));
        }
    }
}
