//! The lists of the built-in bank.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::api::{Amount, Asset, Query, Timestamp, balances_path, balances_record};

#[test]
fn the_bank_contains_the_hard_cases() {
    let sandbox = bank();
    let accounts = list(&sandbox, Stream::Accounts, "/accounts");
    let beneficiaries = list(&sandbox, Stream::Beneficiaries, "/beneficiaries");
    assert_eq!((accounts.len(), beneficiaries.len()), (6, 6));
    let all = transactions(&sandbox, "pageSize=1000");
    assert_eq!(all.len(), 400);
    let now = Timestamp::now();
    let (mut kinds, mut statuses) = (BTreeMap::new(), BTreeMap::new());
    let (mut seconds, mut assets) = (BTreeMap::new(), BTreeMap::new());
    let known = [ids(&accounts), ids(&beneficiaries)].concat();
    for record in &all {
        let value: Value = serde_json::from_str(&record.json).unwrap();
        let date = |name| Timestamp::parse(field(&value, name)).unwrap();
        assert!(date("createdAt") <= date("updatedAt") && date("updatedAt") <= now);
        assert!(now.since(date("createdAt")) < Duration::from_secs(91 * 86_400));
        for end in ["sourceAccountID", "destinationAccountID"] {
            assert!(value[end].is_null() || known.contains(&field(&value, end)));
        }
        *kinds.entry(field(&value, "type").to_owned()).or_insert(0) += 1;
        *statuses
            .entry(field(&value, "status").to_owned())
            .or_insert(0) += 1;
        *assets
            .entry(field(&value, "currency").to_owned())
            .or_insert(0) += 1;
        *seconds.entry(record.timestamp).or_insert(0) += 1;
        Amount::parse(field(&value, "amount")).unwrap();
        Asset::parse(field(&value, "currency")).unwrap();
    }
    assert_eq!(kinds.len(), 4, "{kinds:?}");
    assert_eq!(statuses.len(), 15, "{statuses:?}");
    assert_eq!(statuses["PENDING"], 20);
    assert_eq!(assets.len(), 4, "{assets:?}");
    let ties = |size| seconds.values().filter(|count| **count == size).count();
    assert_eq!((ties(150), ties(12), ties(8), ties(5)), (1, 1, 1, 1));
    assert_eq!(seconds.values().max(), Some(&150));
    assert!(
        all.iter()
            .any(|record| record.json.contains(r#""250000000000000000000000000""#))
    );
    for account in ids(&accounts) {
        let said = get(&sandbox, &balances_path(account));
        let balances = balances_record(account, said.body.as_bytes())
            .unwrap()
            .unwrap();
        assert!(balances.timestamp <= now && !balances.json.contains(r#""-"#));
    }
}

#[test]
fn a_tie_larger_than_a_page_is_read_page_by_page() {
    let sandbox = bank();
    let all = transactions(&sandbox, "pageSize=1000");
    let mut read = Vec::new();
    for page in 1.. {
        let query = Query {
            page: Some(page),
            page_size: 100,
            from: None,
        };
        let path = query.path(Stream::Transactions);
        let page = list(&sandbox, Stream::Transactions, &path);
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(ids(&read), ids(&all));
    assert!(all.is_sorted_by_key(|record| record.timestamp));
    let tie = all
        .windows(150)
        .find(|w| w[0].timestamp == w[149].timestamp);
    let tie = tie.unwrap();
    let from = format!("updatedAtFrom={}", tie[0].timestamp.second());
    let first = transactions(&sandbox, &from);
    let second = transactions(&sandbox, &format!("{from}&page=2"));
    assert_eq!([ids(&first), ids(&second)].concat()[..150], ids(tie));
}

#[test]
fn filters_include_their_bound_and_sort_orders_can_be_reversed() {
    let sandbox = bank();
    let all = transactions(&sandbox, "pageSize=1000");
    let at = all[60].timestamp;
    let filter = format!("pageSize=1000&updatedAtFrom={at}");
    let from = transactions(&sandbox, &filter);
    let expected: Vec<_> = all
        .iter()
        .filter(|record| record.timestamp >= at)
        .cloned()
        .collect();
    assert_eq!(ids(&from), ids(&expected));
    assert!(from.len() >= 340);
    let newest_first = transactions(&sandbox, &format!("{filter}&sort=updatedAt%3Adesc"));
    let turned: Vec<_> = newest_first.iter().rev().cloned().collect();
    assert_eq!(ids(&turned), ids(&from));
    assert_eq!(
        ids(&transactions(
            &sandbox,
            "sort=updatedAt:desc&page=2&pageSize=3"
        )),
        ids(&[all[396].clone(), all[395].clone(), all[394].clone()])
    );
    let created = transactions(&sandbox, &format!("{filter}&sort=createdAt:asc"));
    assert_eq!(created.len(), from.len());
    assert!(created.is_sorted_by_key(|record| {
        field(
            &serde_json::from_str::<Value>(&record.json).unwrap(),
            "createdAt",
        )
        .to_owned()
    }));
    let accounts = list(
        &sandbox,
        Stream::Accounts,
        "/accounts?sort=createdAt:desc&x=y&&=",
    );
    assert!(accounts.is_sorted_by_key(|record| std::cmp::Reverse(record.timestamp)));
    // One second later, written with an offset whose plus is not escaped.
    let later = all[399]
        .timestamp
        .second()
        .next()
        .to_string()
        .replace('Z', "+00:00");
    assert!(transactions(&sandbox, &format!("updatedAtFrom={later}")).is_empty());
    assert!(
        transactions(
            &sandbox,
            "page=99999999999999999999&pageSize=18446744073709551615"
        )
        .is_empty()
    );
}
