//! Complete, from services with quirks: each quirk is noticed, reported once with its fix, shown in `status`, costs no
//! more than its row states, and is forgotten when the service improves.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{self, FakePsp, Manners, Place, Reply, at_second, run};

/// Records on a page.
const PAGE: usize = 10;

/// Two hundred transactions, some a second apart, some in one second, some minutes apart.
fn service(manners: Manners) -> FakePsp {
    let psp = FakePsp::start();
    let mut second = 0;
    for number in 0..200 {
        second += [1, 0, 0, 1, 40, 1, 200][number % 7];
        psp.add_transaction(&format!("tx-{number:03}"), &at_second(second));
    }
    psp.behave(manners);
    psp
}

fn quirks(place: &Place) -> Vec<String> {
    support::quirks(place, "transactions", "name")
}

fn requests(psp: &FakePsp) -> usize {
    let asked = psp.requests().into_iter();
    let count = asked
        .filter(|path| path.starts_with("/transactions"))
        .count();
    psp.forget_requests();
    count
}

/// What a quirk costs at most, in requests for a stream of 200 records, 10 on a page: to import it, and in a poll that
/// finds nothing new.
struct Cost {
    import: usize,
    quiet: usize,
}

/// A service that departs in this way has the quirk of that name, and everything is read in two polls and one sweep.
fn found(depart: impl Fn(&mut Manners), name: &str, cost: Cost) {
    let mut manners = Manners::default();
    depart(&mut manners);
    let psp = service(manners);
    let place = Place::new(&psp.url(), json!({ "pageSize": PAGE }));
    let first = place.poll_well();
    let import = requests(&psp);
    let swept = run(place.command("poll --sweep"));
    assert_eq!(swept.code, Some(0), "{swept}");
    let ids: BTreeSet<String> = place.ids("transactions").into_iter().collect();
    assert_eq!(ids.len(), 200, "{first}{swept}");
    assert_eq!(place.ids("transactions").len(), 200, "each once");

    assert!(
        quirks(&place).contains(&name.to_owned()),
        "{:?}",
        quirks(&place)
    );
    let ids = support::quirk_ids(&place, "transactions");
    assert!(
        ids.iter().all(|id| (2..=3).contains(&id.len())) && !ids.is_empty(),
        "{ids:?}"
    );
    let table = run(place.command("status"));
    assert!(
        table.stdout.contains(&format!("the service {name}: ")),
        "{table}"
    );
    let said = format!("WARN] transactions: the service {name}: ");
    assert!(
        first.stderr.contains(&said) || swept.stderr.contains(&said),
        "{first}{swept}"
    );
    requests(&psp);
    let quiet = place.poll_well();
    assert!(!quiet.stderr.contains("WARN"), "said once: {quiet}");
    let quiet = requests(&psp);
    assert!(
        import <= cost.import && quiet <= cost.quiet,
        "{import} requests to import, {quiet} in a quiet poll"
    );

    // What changes is found as before.
    psp.change_transaction(
        "tx-007",
        json!({ "status": "SUCCEEDED", "updatedAt": "2024-02-02T00:00:00Z" }),
    );
    psp.add_transaction("tx-200", "2024-02-02T00:00:01Z");
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 202);

    // The service improves. What concerns the order is looked at by the sweep.
    psp.behave(Manners::default());
    let better = run(place.command("poll --sweep"));
    assert!(
        better
            .stderr
            .contains(&format!("resolved: the service {name}")),
        "{better}"
    );
    assert!(quirks(&place).is_empty(), "{:?}", quirks(&place));
    assert_eq!(place.ids("transactions").len(), 202);
}

#[test]
fn a_service_that_keeps_the_rules_has_no_traits() {
    let psp = service(Manners::default());
    let place = Place::new(&psp.url(), json!({ "pageSize": PAGE }));
    place.poll_well();
    let (import, _) = (requests(&psp), place.poll_well());
    let quiet = requests(&psp);
    run(place.command("poll --sweep"));
    assert!(quirks(&place).is_empty());
    // The least would be 21 and 1. A page begins with the second that the one before ended in; after the last one comes
    // an empty one; and once, the filter is looked at, and the numbers of the pages.
    assert!(import <= 33 && quiet <= 2, "{import} {quiet}");
}

cases! { found;
    a_service_that_caps_the_page_size(
        |manners| manners.cap = Some(4), "caps pageSize", Cost { import: 91, quiet: 4 });
    a_service_that_lists_the_newest_first(
        |manners| manners.newest_first = true, "does not sort", Cost { import: 46, quiet: 2 });
    a_service_that_lists_in_any_order(
        |manners| manners.shuffles = true, "does not sort", Cost { import: 46, quiet: 2 });
    a_service_that_excludes_the_bound(
        |manners| manners.excludes_bound = true, "excludes the filter's bound", Cost { import: 38, quiet: 4 });
    a_service_that_answers_an_empty_page_with_null(
        |manners| manners.null_pages = true, "answers an empty page with null", Cost { import: 33, quiet: 2 });
    a_service_that_refuses_the_page_after_the_last_one(
        |manners| manners.refuses_past_end = true, "refuses the page after the last one", Cost { import: 34, quiet: 3 });
    a_service_that_redirects(
        |manners| manners.redirects = true, "redirects requests", Cost { import: 66, quiet: 4 });
    a_service_that_counts_from_0(
        |manners| manners.counts_from_zero = true, "counts pages from 0", Cost { import: 38, quiet: 2 });
    a_service_whose_filter_hides_everything(
        |manners| manners.hides_all = true, "hides records from the filter", Cost { import: 53, quiet: 27 });
    a_service_that_filters_by_day(        |manners| manners.coarse = 86_400, "filters coarsely", Cost { import: 27, quiet: 23 });
}

/// A list whose last page is full ends with a refusal, too. `count` records, so many of them in each second.
fn ends_with_a_full_page(count: usize, in_a_second: usize, manners: Manners) {
    let psp = FakePsp::start();
    for number in 0..count {
        psp.add_transaction(&format!("tx-{number:03}"), &at_second(number / in_a_second));
    }
    psp.behave(manners);
    let place = Place::new(&psp.url(), json!({ "pageSize": PAGE }));
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), count);
    // One that no poll finds.
    psp.add_transaction("late", "2024-01-01T00:00:00Z");
    psp.remove_transaction("tx-000");
    let swept = run(place.command("poll --sweep"));
    assert_eq!(swept.code, Some(0), "{swept}");
    assert!(!swept.stderr.contains("skipped"), "{swept}");
    assert_eq!(place.ids("transactions").len(), count + 1);
    place.poll_well();
}

fn past_end() -> Manners {
    Manners {
        refuses_past_end: true,
        ..Manners::default()
    }
}

cases! { ends_with_a_full_page;
    one_full_page(PAGE, 1, past_end());
    full_pages(5 * PAGE, 1, past_end());
    full_pages_of_ties(4 * PAGE, 2 * PAGE, past_end());
    a_full_page_of_a_tie(PAGE, PAGE, past_end());
    full_pages_without_order(4 * PAGE, 1, Manners { shuffles: true, ..past_end() });
    full_pages_without_a_filter(4 * PAGE, 1, Manners { ignores_filter: true, ..past_end() });
    pages_that_are_refused_before_the_end(5 * PAGE, 1, Manners { deepest_page: Some(2), ..Manners::default() });
}

/// Only a short page may be the last one, and only if the first one is still answered.
#[test]
fn a_list_that_is_refused_altogether_has_not_ended() {
    let psp = service(Manners {
        cap: Some(4),
        ..Manners::default()
    });
    let place = Place::new(&psp.url(), json!({ "pageSize": PAGE }));
    let mut pages = 0;
    psp.script(move |path| {
        pages += usize::from(path.starts_with("/transactions?"));
        if path.starts_with("/transactions?") && pages > 1 {
            return Reply::status(404);
        }
        Reply::Usual
    });
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr.contains("transactions: GET") && ran.stderr.contains("answered 404"),
        "{ran}"
    );
    psp.heal();
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 200);
}

#[test]
fn a_service_that_ignores_the_filter() {
    let manners = Manners {
        ignores_filter: true,
        ..Manners::default()
    };
    // Three days are the farthest that a filter may be off.
    found_with_old_records(
        manners,
        "ignores the filter",
        Cost {
            import: 26,
            quiet: 21,
        },
    );
}

/// As `found`, for a service that has a record which is much older than the others.
fn found_with_old_records(manners: Manners, name: &str, cost: Cost) {
    let psp = service(manners);
    psp.change_transaction("tx-000", json!({ "updatedAt": "2023-02-01T00:00:00Z" }));
    let place = Place::new(&psp.url(), json!({ "pageSize": PAGE }));
    let first = place.poll_well();
    let import = requests(&psp);
    assert_eq!(place.ids("transactions").len(), 200);
    assert_eq!(quirks(&place), [name], "{first}");
    place.poll_well();
    let quiet = requests(&psp);
    assert!(
        import <= cost.import && quiet <= cost.quiet,
        "{import} requests to import, {quiet} in a quiet poll"
    );
    psp.behave(Manners::default());
    let better = place.poll_well();
    assert!(
        better
            .stderr
            .contains(&format!("resolved: the service {name}")),
        "{better}"
    );
}

/// It was said to filter coarsely, and cost five requests for each list in a quiet poll.
#[test]
fn a_service_of_one_record_that_ignores_every_parameter() {
    let psp = FakePsp::start();
    psp.add_account("acc-1", &at_second(0));
    psp.add_beneficiary("ben-1", &at_second(0));
    psp.add_transaction("tx-1", &at_second(0));
    psp.behave(Manners {
        ignores_filter: true,
        ignores_page: true,
        ..Manners::default()
    });
    let place = Place::new(&psp.url(), json!({ "pageSize": PAGE }));
    place.poll_well();
    for stream in ["accounts", "beneficiaries", "transactions"] {
        let ids = support::quirk_ids(&place, stream);
        assert!(ids.contains(&"F2".to_owned()), "{stream}: {ids:?}");
    }
    place.poll_well();
    psp.forget_requests();
    place.poll_well();
    let lists = psp.requests().into_iter().filter(|path| path.contains('?'));
    // Two pages of each list, and one look whether there is a filter now.
    assert_eq!(lists.count(), 9, "{:?}", psp.requests());
    psp.behave(Manners::default());
    place.poll_well();
    place.poll_well();
    for stream in ["accounts", "beneficiaries", "transactions"] {
        assert_eq!(support::quirk_ids(&place, stream), [""; 0]);
    }
}

#[test]
fn a_service_that_reads_the_bound_in_its_own_time_zone() {
    found(
        |manners| manners.shifts_bound = 5 * 3600,
        "shifts the filter's bound",
        Cost {
            import: 42,
            quiet: 29,
        },
    );
    found(
        |manners| manners.shifts_bound = -1800,
        "filters coarsely",
        Cost {
            import: 43,
            quiet: 12,
        },
    );
}

#[test]
fn a_service_that_ignores_page() {
    let psp = FakePsp::start();
    for number in 0..100 {
        // Ties that are larger than a page.
        psp.add_transaction(&format!("tx-{number:03}"), &at_second(number / 35 * 60));
    }
    psp.behave(Manners {
        ignores_page: true,
        ..Manners::default()
    });
    let place = Place::new(&psp.url(), json!({ "pageSize": PAGE }));
    let first = place.poll_well();
    assert_eq!(place.ids("transactions").len(), 100);
    assert_eq!(quirks(&place), ["ignores page"], "{first}");
    let import = requests(&psp);
    assert!(import <= 22, "{import}");
    place.poll_well();
    let quiet = requests(&psp);
    assert!(quiet <= 12, "{quiet}");
    psp.behave(Manners::default());
    psp.add_transaction("tx-100", &at_second(180));
    place.poll_well();
    assert_eq!(place.ids("transactions").len(), 101);
    run(place.command("poll --sweep"));
    assert!(quirks(&place).is_empty(), "{:?}", quirks(&place));
}

#[test]
fn a_tie_that_fits_on_no_page_of_a_service_that_ignores_page_is_said_to_be_incomplete() {
    let psp = FakePsp::start();
    for number in 0..30 {
        psp.add_transaction(&format!("tx-{number:03}"), "2024-02-01T00:00:00Z");
    }
    psp.add_transaction("later", "2024-02-01T00:01:00Z");
    psp.behave(Manners {
        ignores_page: true,
        cap: Some(10),
        ..Manners::default()
    });
    let place = Place::new(&psp.url(), json!({ "pageSize": PAGE }));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr.contains("cannot be read completely")
            && ran.stderr.contains("2024-02-01T00:00:00Z"),
        "{ran}"
    );
    assert_eq!(
        place.ids("transactions").len(),
        11,
        "what follows the tie is read"
    );
    let again = place.poll();
    assert!(!again.stderr.contains("WARN"), "said once: {again}");
    psp.behave(Manners::default());
    run(place.command("poll --sweep"));
    assert_eq!(place.ids("transactions").len(), 31);
    place.poll_well();
}

#[test]
fn a_list_that_ascends_for_a_page_and_then_does_not_is_swept_at_once() {
    let psp = FakePsp::start();
    // By id backwards, the first ten happen to ascend.
    for number in 0..60 {
        let second = if number % 10 == 0 {
            number
        } else {
            100 + (number * 37) % 600
        };
        psp.add_transaction(&format!("tx-{number:02}"), &at_second(second));
    }
    psp.behave(Manners {
        shuffles: true,
        ..Manners::default()
    });
    let place = Place::new(&psp.url(), json!({ "pageSize": 6 }));
    place.poll_well();
    place.poll_well();
    let ids: BTreeSet<String> = place.ids("transactions").into_iter().collect();
    assert_eq!(ids.len(), 60);
    assert_eq!(place.ids("transactions").len(), 60);
}

/// The amounts of an account that were delivered, in their order.
fn amounts(place: &Place) -> Vec<String> {
    let balances = place
        .changes()
        .into_iter()
        .filter(|change| change["stream"] == "balances");
    let amount = |change: Value| {
        change["record"]["balances"][0]["amount"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    balances.map(amount).collect()
}

#[test]
fn balances_of_a_replica_that_lags_are_no_news() {
    let psp = FakePsp::start();
    psp.add_account("acc-1", "2024-01-01T00:00:00Z");
    let answer = |day: u32, amount: u32| {
        let at = format!("2024-02-{day:02}T00:00:00Z");
        let balances = json!([{ "amount": amount.to_string(), "currency": "EUR/2" }]);
        let body = json!({ "id": "b", "accountID": "acc-1", "at": at, "balances": balances });
        psp.always("/accounts/acc-1/balances", Reply::body(&body.to_string()));
    };
    let place = Place::new(&psp.url(), json!({}));
    for _ in 0..3 {
        answer(2, 100);
        place.poll_well();
        answer(1, 90);
        place.poll_well();
    }
    assert_eq!(amounts(&place), ["100"]);
    // An hour with both of them changes nothing.
    place.age();
    answer(2, 100);
    place.poll_well();
    answer(1, 90);
    place.poll_well();
    assert_eq!(amounts(&place), ["100"]);
    // The older ones are all that there is.
    place.age();
    place.poll_well();
    assert_eq!(amounts(&place), ["100", "90"]);
    answer(3, 110);
    place.poll_well();
    answer(2, 100);
    place.poll_well();
    assert_eq!(amounts(&place), ["100", "90", "110"]);
}

/// A tie that is longer than a page, where "page" is ignored and a larger page is refused with this status.
fn larger_pages_are_refused(status: u16) {
    let psp = FakePsp::start();
    psp.behave(Manners {
        ignores_page: true,
        ..Manners::default()
    });
    for number in 0..30 {
        psp.add_transaction(&format!("tie-{number:02}"), "2024-02-01T00:00:00Z");
    }
    psp.script(move |path| match path {
        path if path.starts_with("/transactions") && !path.contains("pageSize=10&") => {
            Reply::status(status)
        }
        _ => Reply::Usual,
    });
    let place = Place::new(&psp.url(), json!({ "pageSize": 10 }));
    let ran = place.poll();
    assert!(
        ran.stderr
            .contains("the service refuses larger pages: than 10"),
        "{ran}"
    );
    // The stream goes on, and the limit is remembered.
    psp.add_transaction("new", "2024-03-01T00:00:00Z");
    psp.forget_requests();
    place.poll();
    assert!(place.ids("transactions").contains(&"new".to_owned()));
    let larger =
        |path: &String| path.starts_with("/transactions") && !path.contains("pageSize=10&");
    assert!(!psp.requests().iter().any(larger), "{:?}", psp.requests());
}

cases! {
    larger_pages_are_refused;
    larger_pages_are_refused_with_400(400);
    larger_pages_are_refused_with_422(422);
}
