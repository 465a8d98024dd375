//! The pages in a real browser. They need Debian's `chromium` and `chromium-driver`, and axe-core of npm:
//!
//! ```sh
//! npm pack axe-core && tar -xzf axe-core-*.tgz
//! AXE=$PWD/package/axe.min.js cargo test --test promises browser -- --ignored
//! ```
//!
//! Pictures of every page stay in the folder `tmp/pictures` of the target directory.

use std::fs;

use serde_json::Value;

use super::states::{HOSTILE, Observed};
use crate::support::OBSERVE_KEY;
use crate::support::browser::{Browser, Look, pictures};

/// Widths of a telephone, a tablet and a screen, in pixels.
const WIDTHS: [u64; 3] = [320, 800, 1440];

/// Looks at pages in every width and scheme. Each has a name for its pictures and a path.
fn look_at(name: &str, observed: &Observed, pages: &[(&str, &str)]) {
    let browser = Browser::start();
    // What it asks its own pages for at its start.
    browser.open("about:blank");
    browser.requests();
    let axe = std::env::var_os("AXE").expect("AXE is not set: see tests/pages/browser.rs");
    let axe = fs::read_to_string(&axe).unwrap_or_else(|error| panic!("{}: {error}", axe.display()));
    let origin = observed.listening.observe_url.clone();
    let with_key = origin.replace("http://", &format!("http://anyone:{OBSERVE_KEY}@"));
    for (page, path) in pages {
        for scheme in ["light", "dark"] {
            for width in WIDTHS {
                let place = format!("{name}-{page}-{width}-{scheme}");
                browser.look(Look { width, scheme });
                browser.open(&format!("{with_key}{path}"));
                check_page(&browser, &place);
                let console = browser.console();
                assert!(console.is_empty(), "{place}: {console:#?}");
                for url in browser.requests() {
                    let url = url.replace(&format!("anyone:{OBSERVE_KEY}@"), "");
                    let is_own = url.starts_with(&format!("{origin}/")) || url.starts_with("data:");
                    assert!(is_own, "{place}: {url}");
                }
                browser.picture(&pictures().join(format!("{place}.png")));
                check_access(&browser, &axe, &place);
                browser.console();
            }
        }
    }
}

/// Nothing is wider than the window, and nothing of a record is an element or an attribute.
fn check_page(browser: &Browser, place: &str) {
    let widths =
        browser.run("const e = document.documentElement; return [e.scrollWidth, e.clientWidth]");
    let (needed, given) = (widths[0].as_u64(), widths[1].as_u64());
    assert!(needed <= given, "{place}: {needed:?} of {given:?} pixels");
    let foreign = browser
        .run("return document.querySelectorAll('script, img, iframe, form, [onload]').length");
    assert_eq!(foreign, 0, "{place}");
    let heading = browser.run("return document.querySelector('h1').textContent");
    assert_eq!(heading, "acme-bank", "{place}");
}

/// axe-core finds nothing that keeps people from reading the page.
fn check_access(browser: &Browser, axe: &str, place: &str) {
    browser.run(axe);
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true");
    let found = browser.run_to_end("axe.run().then(arguments[arguments.length - 1])");
    assert!(
        !found["passes"].as_array().unwrap().is_empty(),
        "{place}: axe has not run"
    );
    let violations: Vec<String> = found["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| {
            let nodes = violation["nodes"].as_array().unwrap().iter();
            let nodes: Vec<&Value> = nodes.map(|node| &node["html"]).take(3).collect();
            format!("{}: {} {nodes:?}", violation["id"], violation["help"])
        })
        .collect();
    assert!(violations.is_empty(), "{place}: {violations:#?}");
}

#[test]
#[ignore = "needs a browser and axe-core"]
fn of_an_empty_service() {
    let observed = Observed::empty();
    look_at(
        "empty",
        &observed,
        &[("overview", "/"), ("quarantine", "/quarantine")],
    );
}

#[test]
#[ignore = "needs a browser and axe-core"]
fn of_a_busy_connector() {
    let observed = Observed::busy();
    let pages = [
        ("overview", "/"),
        ("quarantine", "/quarantine"),
        ("record", "/quarantine/1"),
    ];
    look_at("busy", &observed, &pages);
}

#[test]
#[ignore = "needs a browser and axe-core"]
fn of_a_failing_service() {
    let observed = Observed::failing();
    look_at("failing", &observed, &[("overview", "/")]);
}

#[test]
#[ignore = "needs a browser and axe-core"]
fn of_fifty_thousand_records_in_quarantine() {
    let observed = Observed::with_quarantine(50_000, 20);
    let pages = [
        ("overview", "/"),
        ("first", "/quarantine"),
        ("last", "/quarantine?after=49980"),
        ("refused", "/quarantine/a%2Fb%20%26%20c/2"),
    ];
    look_at("full", &observed, &pages);
}

/// What a service calls its records is shown as it is, in every character.
#[test]
#[ignore = "needs a browser and axe-core"]
fn hostile_ids_are_text() {
    let observed = Observed::busy();
    let browser = Browser::start();
    let url = &observed.listening.observe_url;
    let with_key = url.replace("http://", &format!("http://anyone:{OBSERVE_KEY}@"));
    browser.open(&format!("{with_key}/quarantine"));
    let text = browser.run("return document.body.innerText");
    let text = text.as_str().unwrap();
    for id in HOSTILE {
        let shown = id.replace('\u{202e}', "\\u202e");
        assert!(text.contains(&shown), "{shown} is not in {text}");
    }
}

/// A browser that has the key of operators sees no list, and cannot ask for a payout.
#[test]
#[ignore = "needs a browser and axe-core"]
fn the_key_of_operators_opens_no_list_and_no_payout() {
    let observed = Observed::busy();
    let browser = Browser::start();
    let listening = &observed.listening;
    for url in [&listening.observe_url, &listening.url] {
        let with_key = url.replace("http://", &format!("http://anyone:{OBSERVE_KEY}@"));
        for path in ["/accounts", "/transactions", "/payouts"] {
            browser.open(&format!("{with_key}{path}"));
            let text = browser.run("return document.body.innerText").to_string();
            let is_refused = text.contains("Unauthorized") || text.contains("Not Found");
            assert!(is_refused, "{url}{path}: {text}");
        }
    }
}
