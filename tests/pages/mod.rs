//! The pages for operators: what is on them, that nothing on them is markup, and how a browser shows them.

mod browser;
mod states;

use serde_json::json;

use crate::support::{FakePsp, Reply, run, wait_until};
use states::{HOSTILE, Observed, Page};

/// Bytes of the page of a busy connector, at most.
const MOST_BYTES: usize = 40 * 1024;

#[test]
fn the_page_of_an_empty_service_says_that_all_is_well() {
    let observed = Observed::empty();
    let page = observed.page("/");
    assert_eq!(page.status, 200);
    page.has("<strong>All well</strong>: last poll ");
    page.has("<title>All well \u{b7} acme-bank</title>");
    assert!(!page.text.contains("To look at"), "{}", page.text);
}

#[test]
fn the_page_of_a_busy_connector_has_everything_and_is_small() {
    let observed = Observed::busy();
    let page = observed.page("/");
    for part in [
        "<strong>2 things to look at</strong>: last poll ",
        // In the words of `status`, and what helps.
        "delivery to &quot;http&quot; failed, retrying",
        "<code>generic-connector check --only targets</code>",
        "was made is unknown",
        // The service's quirks, by the ids of `check`.
        "<strong>excludes the filter&#39;s bound</strong>",
        "<code>generic-connector explain F1</code>",
        "Unknown status <code>ON_HOLD</code>",
        // The records that break the API, and the way to them.
        "<a href=\"quarantine\">",
        // Payouts.
        "Not settled, the most urgent first",
        // The sweep.
        "Missed by polls",
        // Plots, with their figures in words and in a table.
        "The last 100 polls",
        "<title id=\"latency-title\">Latency of the service, 95th percentile</title>",
        "bars with a gap are cut",
        "<summary>The same in figures</summary>",
        "<td>10,000,000",
        "Refresh every 30 s",
    ] {
        page.has(part);
    }
    let bytes = page.text.len();
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
}

#[test]
fn the_page_of_a_failing_service_says_since_when_and_what_helps() {
    let observed = Observed::failing();
    let page = observed.page("/");
    page.has("<strong>One thing to look at</strong>: last good poll ");
    page.has("no poll has succeeded since 2024-03-01T00:00:01Z");
    page.has("<code>generic-connector check</code>");
    page.has("<li>Poll 2, <time");
}

/// The alarm that nobody else can give.
#[test]
fn the_page_says_when_formance_no_longer_asks() {
    let psp = FakePsp::with_a_bank();
    let observed = Observed::start(psp, json!({}));
    observed.listening.wait_for_line("poll 1 complete");
    observed.page("/").has("Formance has never asked");
    let list = "/transactions?page=1&pageSize=1000&sort=updatedAt:asc";
    let (status, _) = observed.listening.get(list);
    assert_eq!(status, 200);
    let page = observed.page("/");
    page.has("<strong>All well</strong>: ");
    page.has(" ago, Formance asked ");
    assert!(!page.text.contains("data-title=\"Unread\" class=\"n\">7"));
    for number in 0..7 {
        let id = format!("new-{number}");
        observed.psp.add_transaction(&id, "2024-03-01T00:00:00Z");
    }
    observed.listening.poll();
    observed
        .page("/")
        .has("data-title=\"Unread\" class=\"n\">7");
    let state = observed.listening.place.state().join("state.sqlite3");
    let state = rusqlite::Connection::open(state).unwrap();
    let ages = "
        UPDATE state SET value = json_set(value, '$.at', '2024-03-01T00:00:00Z', '$.beganAt', '2024-03-01T00:00:00Z',
            '$.pauses', json('[1800]')) WHERE key LIKE 'asked:%'";
    state.execute_batch(ages).unwrap();
    // It could not ask before the connector was started.
    assert!(!observed.page("/").text.contains("no longer asks"));
    let ages = "
        UPDATE state SET value = json_set(value, '$.since', '2024-03-01T00:00:00Z') WHERE key = 'listening';
        INSERT INTO state SELECT 'asked:accounts', json_set(value, '$.at', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
            FROM state WHERE key = 'asked:transactions';";
    state.execute_batch(ages).unwrap();
    let page = observed.page("/");
    page.has("<strong>One thing to look at</strong>: ");
    // Each list that it does not ask for, whatever it asks for besides.
    let alarm = "Connectivity no longer asks for beneficiaries, for which it has never asked, \
        transactions since 2024-03-01T00:00:00Z: what is new stays here.";
    page.has(alarm);
    let status = run(observed.listening.place.command("status"));
    assert!(status.stdout.contains(alarm), "{status}");
    observed.listening.poll();
    observed.listening.wait_for_line(alarm);
    page.has("<time datetime=\"2024-03-01T00:30:00Z\" title=\"2024-03-01T00:30:00Z\">");
    page.has(" late</time>");
    assert!(!page.text.contains("All well"), "{}", page.text);
}

#[test]
fn a_poll_that_fails_once_is_not_called_well() {
    let psp = FakePsp::with_a_bank();
    let observed = Observed::start(psp, json!({ "pollingPeriod": "1h" }));
    observed.listening.wait_for_line("poll 1 complete");
    observed.psp.script(|_| Reply::status(400));
    observed.listening.poll();
    let page = observed.page("/");
    page.has("<strong>The last poll failed</strong>: last good poll ");
    assert!(!page.text.contains("All well"), "{}", page.text);
}

/// What a service calls its records, and Connectivity its payouts, is text.
#[test]
fn nothing_from_outside_is_markup() {
    let observed = Observed::busy();
    let list = observed.page("/quarantine");
    let numbers = list.text.match_indices("href=\"quarantine/");
    let numbers = numbers.map(|(place, found)| &list.text[place + found.len()..]);
    let paths = numbers.map(|rest| format!("/quarantine/{}", rest.split('"').next().unwrap()));
    let paths: Vec<String> = paths.collect();
    assert!(paths.len() >= HOSTILE.len(), "{paths:?}");
    let records = paths.iter().map(|path| observed.page(path));
    let pages: Vec<Page> = records.chain([list, observed.page("/")]).collect();
    for page in &pages {
        assert_eq!(page.status, 200);
        for markup in ["<script", "\"onload", "<img", "\u{202e}"] {
            assert!(!page.text.contains(markup), "{markup}: {}", page.text);
        }
    }
    let shown = |text: &str| pages.iter().any(|page| page.text.contains(text));
    for id in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&quot;onload=alert(1) x=",
        "\\u202egpj.exe",
    ] {
        assert!(shown(&format!("<code>{id}</code>")), "{id}");
    }
    // Whoever copies the command runs nothing else.
    assert!(shown(
        "initiation settle &#39;&lt;script&gt;alert(1)&lt;/script&gt;&#39; made ID"
    ));
}

#[test]
fn a_browser_may_load_the_stylesheet_and_nothing_else() {
    let observed = Observed::with_quarantine(1, 1);
    for path in ["/", "/quarantine", "/quarantine/1"] {
        let page = observed.page(path);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(
            page.header("content-security-policy"),
            "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "no-referrer");
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("refresh"), "");
        let unwanted = [" style=", "<form", "<style", "=\"/", "http-equiv"];
        for part in unwanted {
            assert!(!page.text.contains(part), "{part}: {}", page.text);
        }
    }
    let style = observed.page("/style.css");
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    let tag = style.header("etag");
    let again = observed.page_with(
        "/style.css",
        &[("If-None-Match", &format!("\"other\", W/{tag}"))],
    );
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    let changed = observed.page_with("/style.css", &[("If-None-Match", "\"other\"")]);
    assert_eq!((changed.status, changed.text), (200, style.text));
}

#[test]
fn a_page_is_asked_for_again_if_that_is_wanted() {
    let observed = Observed::empty();
    let page = observed.page("/?refresh=30");
    assert_eq!(page.header("refresh"), "30");
    page.has("<a href=\"?\">Stop refreshing</a>");
    // Neither a busy loop nor something else than a number.
    for refresh in ["0", "4", "3601", "30;url=https://example.com", "-30", ""] {
        let page = observed.page(&format!("/?refresh={refresh}"));
        assert_eq!(
            (page.status, page.header("refresh")),
            (200, ""),
            "{refresh}"
        );
    }
}

#[test]
fn the_quarantine_is_shown_fifty_at_a_time_to_its_end() {
    let observed = Observed::with_quarantine(120, 3);
    let mut path = "/quarantine".to_owned();
    let mut shown = Vec::new();
    loop {
        let page = observed.page(&path);
        let links = page.text.match_indices("href=\"quarantine/");
        let before = shown.len();
        shown.extend(links.map(|(place, found)| {
            let rest = &page.text[place + found.len()..];
            rest.split('"').next().unwrap().to_owned()
        }));
        page.has("120 records that were not accepted and 3 versions that targets refuse.");
        let Some((_, next)) = page.text.split_once("href=\"quarantine?") else {
            assert_eq!(shown.len() - before, 23);
            break;
        };
        assert_eq!(shown.len() - before, 50);
        path = format!("/quarantine?{}", next.split('"').next().unwrap());
    }
    let numbers = (1..=120).map(|number| number.to_string());
    let refused = (1..=3).map(|seq| format!("a%2Fb%20%26%20c/{seq}"));
    assert_eq!(shown, numbers.chain(refused).collect::<Vec<_>>());
    let record = observed.page("/quarantine/120");
    record.has("<code>bad-120</code>");
    record.has("{&quot;id&quot;:&quot;bad&quot;,&quot;amount&quot;:&quot;many&quot;}");
    record.has("<code>generic-connector quarantine retry 120</code>");
    run(observed.listening.place.command("quarantine retry 119"));
    observed
        .page("/quarantine/119")
        .has("The next poll retries it.");
    let refused = observed.page("/quarantine/a%2Fb%20%26%20c/2");
    refused.has("the target answered 400");
    refused.has("generic-connector quarantine retry &#39;a/b &amp; c/2&#39;");
    for (path, status) in [
        ("/quarantine/121", 404),
        ("/quarantine/http/9", 404),
        ("/quarantine/x", 400),
        ("/quarantine?after=x", 400),
    ] {
        assert_eq!(observed.page(path).status, status, "{path}");
    }
}

#[test]
fn texts_of_records_are_hidden_if_that_is_wanted() {
    let psp = FakePsp::with_a_bank();
    psp.add_raw_transaction(json!({ "id": "bad", "secret-text": 7 }));
    let observed = Observed::start(psp, json!({ "observeRecords": false }));
    wait_until("the record is in quarantine", || {
        observed.page("/quarantine/1").status == 200
    });
    let page = observed.page("/quarantine/1");
    page.has("&quot;observeRecords&quot; is false");
    assert!(!page.text.contains("secret-text"), "{}", page.text);
}
