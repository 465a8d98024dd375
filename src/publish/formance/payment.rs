//! A transaction's versions as adjustments of a payment: what Formance has to be told so that it shows the right
//! amount and the right status. Pure.
//!
//! Formance keeps each adjustment once, by (payment, reference, date, status), shows the status of the newest date, and
//! moves the payment's amount by each one that is new: `REFUNDED` takes its amount away, `CAPTURE` and
//! `REFUND_REVERSED` add theirs (formancehq/payments v3.4.0, `internal/storage/payments.go`). A poll can miss a status,
//! and services tell the same story in several ways, as one transaction that changes or as several that are related. So
//! an adjustment is sent with the amount that leads to the right sum: a capture never adds what is counted already, a
//! refund never takes more than is there, and an authorisation that is seen to have succeeded is captured first.

use num_bigint::{BigInt, BigUint, Sign};

use crate::api::Timestamp;
use crate::store::PaymentState;

/// Two adjustments of a transaction lie so many nanoseconds apart at least: Formance's database keeps microseconds.
const APART: i64 = 1_000;

/// What an adjustment is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event<'a> {
    /// A known status of the API, else `OTHER`.
    pub status: &'a str,
    /// Minor units.
    pub amount: &'a BigInt,
    /// When it is said to have happened, and not later than it was read.
    pub at: Timestamp,
    /// Whether it is the payment's own transaction that says so, and not one that is related to it.
    pub is_own: bool,
}

/// What Formance is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Adjustment {
    pub status: String,
    /// Minor units.
    pub amount: BigInt,
    /// The event's, but later than every other one of the transaction before it.
    pub created_at: Timestamp,
}

/// A payment that Formance has not been told of: how it begins, before its first adjustment.
pub(super) fn begin(kind: &str, asset: &str, first: Event) -> PaymentState {
    let counts_later = matches!(
        first.status,
        "AUTHORISATION" | "CAPTURE" | "CAPTURE_FAILED" | "REFUND_REVERSED"
    );
    let initial = first.amount.to_string();
    PaymentState {
        kind: kind.to_owned(),
        asset: asset.to_owned(),
        shown: if counts_later {
            "0".to_owned()
        } else {
            initial.clone()
        },
        initial,
        is_open: matches!(first.status, "AUTHORISATION" | "CAPTURE_FAILED"),
    }
}

/// Whether an adjustment of that status moves the payment's amount.
pub(super) fn moves_amount(status: &str) -> bool {
    matches!(status, "CAPTURE" | "REFUNDED" | "REFUND_REVERSED")
}

/// What an event of a transaction adds to a payment, in this order. The state becomes what Formance then has. `newest`
/// is the date of the transaction's newest adjustment before.
pub(super) fn adjust(
    state: &mut PaymentState,
    newest: Option<Timestamp>,
    event: Event,
) -> Vec<Adjustment> {
    let mut adjustments: Vec<Adjustment> = Vec::new();
    let mut date = newest.map_or(event.at, |newest| {
        event.at.max(newest.plus_nanoseconds(APART))
    });
    let has_settled = matches!(
        event.status,
        "SUCCEEDED" | "REFUNDED_FAILURE" | "DISPUTE" | "DISPUTE_WON" | "DISPUTE_LOST"
    );
    if state.is_open && event.is_own && has_settled {
        let capture = Event {
            status: "CAPTURE",
            at: date,
            ..event
        };
        adjustments.push(one(state, capture));
        date = date.plus_nanoseconds(APART);
    }
    adjustments.push(one(state, Event { at: date, ..event }));
    adjustments
}

fn one(state: &mut PaymentState, event: Event) -> Adjustment {
    let initial: BigInt = state.initial.parse().unwrap_or_default();
    let shown: BigInt = state.shown.parse().unwrap_or_default();
    // A payment may be kept as a negative amount, and a refund of it be written with either sign.
    let sign = [&initial, &shown, event.amount]
        .into_iter()
        .map(BigInt::sign)
        .find(|sign| *sign != Sign::NoSign)
        .unwrap_or(Sign::NoSign);
    let (whole, there, amount) = (
        initial.magnitude(),
        shown.magnitude(),
        event.amount.magnitude(),
    );
    let signed = |magnitude: BigUint| BigInt::from_biguint(sign, magnitude);
    let sent = match event.status {
        "REFUNDED" => {
            let taken = amount.min(there).clone();
            state.shown = signed(there - &taken).to_string();
            signed(taken)
        }
        "CAPTURE" | "REFUND_REVERSED" => {
            let most = whole.max(amount);
            let room = if most > there {
                most - there
            } else {
                BigUint::ZERO
            };
            let added = room.min(amount.clone());
            state.shown = signed(there + &added).to_string();
            signed(added)
        }
        _ => event.amount.clone(),
    };
    if moves_amount(event.status) {
        state.is_open = false;
    }
    Adjustment {
        status: event.status.to_owned(),
        amount: sent,
        created_at: event.at,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::STATUSES;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_nanoseconds(second * 1_000_000_000)
    }

    /// What Formance does with adjustments.
    fn moved(base: &BigInt, adjustments: &[Adjustment]) -> BigInt {
        adjustments.iter().fold(base.clone(), |amount, adjustment| {
            match adjustment.status.as_str() {
                "REFUNDED" => amount - &adjustment.amount,
                "CAPTURE" | "REFUND_REVERSED" => amount + &adjustment.amount,
                _ => amount,
            }
        })
    }

    /// Tells a history of (status, amount) and says what Formance shows.
    fn told(history: &[(&str, i64)]) -> (String, Vec<(String, String)>) {
        let mut told: Vec<Adjustment> = Vec::new();
        let mut state = None;
        let mut base = BigInt::ZERO;
        for (second, (status, amount)) in history.iter().enumerate() {
            let amount = BigInt::from(*amount);
            let event = Event {
                status,
                amount: &amount,
                at: at(second as i64),
                is_own: true,
            };
            let state = state.get_or_insert_with(|| {
                let begun = begin("PAY-IN", "EUR/2", event);
                base = begun.shown.parse().unwrap();
                begun
            });
            let newest = told.last().map(|last: &Adjustment| last.created_at);
            told.extend(adjust(state, newest, event));
            assert_eq!(moved(&base, &told).to_string(), state.shown);
        }
        let adjustments = told
            .iter()
            .map(|adjustment| (adjustment.status.clone(), adjustment.amount.to_string()))
            .collect();
        (moved(&base, &told).to_string(), adjustments)
    }

    #[test]
    fn amounts_come_out_right_however_the_story_is_told() {
        for (history, shown) in [
            (vec![("PENDING", 100), ("SUCCEEDED", 100)], 100),
            (vec![("SUCCEEDED", -100)], -100),
            (vec![("AUTHORISATION", 100)], 0),
            (vec![("CAPTURE", 100)], 100),
            (vec![("AUTHORISATION", 100), ("CAPTURE", 100)], 100),
            (vec![("AUTHORISATION", 100), ("CAPTURE", 120)], 120),
            (
                vec![("AUTHORISATION", 100), ("CAPTURE", 40), ("CAPTURE", 60)],
                100,
            ),
            (vec![("AUTHORISATION", 100), ("CAPTURE_FAILED", 100)], 0),
            (vec![("CAPTURE_FAILED", 100), ("CAPTURE", 100)], 100),
            // A status was missed between two polls.
            (vec![("AUTHORISATION", 100), ("SUCCEEDED", 100)], 100),
            (
                vec![("AUTHORISATION", 100), ("SUCCEEDED", 100), ("CAPTURE", 100)],
                100,
            ),
            (vec![("AUTHORISATION", 100), ("REFUNDED", 100)], 0),
            (vec![("AUTHORISATION", 100), ("EXPIRED", 100)], 0),
            (
                vec![("PENDING", 100), ("AUTHORISATION", 100), ("CAPTURE", 100)],
                100,
            ),
            (vec![("REFUNDED", 100)], 0),
            (vec![("REFUND_REVERSED", 100)], 100),
            (vec![("SUCCEEDED", 100), ("REFUND_REVERSED", 100)], 100),
            (
                vec![
                    ("SUCCEEDED", 100),
                    ("REFUNDED", 100),
                    ("REFUND_REVERSED", 100),
                ],
                100,
            ),
            (vec![("SUCCEEDED", 100), ("REFUNDED", 30)], 70),
            (
                vec![("SUCCEEDED", 100), ("REFUNDED", 30), ("REFUNDED", 50)],
                20,
            ),
            (
                vec![("SUCCEEDED", 100), ("REFUNDED", 30), ("REFUNDED", 100)],
                0,
            ),
            (vec![("SUCCEEDED", 100), ("REFUNDED", -30)], 70),
            (vec![("SUCCEEDED", -100), ("REFUNDED", -100)], 0),
            (
                vec![
                    ("SUCCEEDED", 100),
                    ("REFUNDED", 100),
                    ("DISPUTE", 100),
                    ("REFUNDED", 100),
                ],
                0,
            ),
            (vec![("PENDING", 0), ("SUCCEEDED", 0)], 0),
        ] {
            assert_eq!(told(&history).0, shown.to_string(), "{history:?}");
        }
    }

    #[test]
    fn a_missed_capture_is_told_before_what_came_after_it() {
        let (_, adjustments) = told(&[("AUTHORISATION", 100), ("SUCCEEDED", 100)]);
        let pair = |status: &str| (status.to_owned(), "100".to_owned());
        assert_eq!(
            adjustments,
            [pair("AUTHORISATION"), pair("CAPTURE"), pair("SUCCEEDED")]
        );
    }

    #[test]
    fn related_transactions_move_the_amount_once() {
        let (hundred, thirty) = (BigInt::from(100), BigInt::from(30));
        let own = |status, second| Event {
            status,
            amount: &hundred,
            at: at(second),
            is_own: true,
        };
        let related = |status, second| Event {
            status,
            amount: &thirty,
            at: at(second),
            is_own: false,
        };
        let mut state = begin("PAY-IN", "EUR/2", own("SUCCEEDED", 0));
        adjust(&mut state, None, own("SUCCEEDED", 0));
        adjust(&mut state, None, related("REFUNDED", 1));
        adjust(&mut state, None, related("REFUNDED", 2));
        assert_eq!(state.shown, "40");
        // The rest, and not the whole once more.
        let last = adjust(&mut state, None, own("REFUNDED", 3));
        assert_eq!(last[0].amount, BigInt::from(40));
        assert_eq!(state.shown, "0");
        // A fee that succeeds captures nothing.
        let mut state = begin("PAY-IN", "EUR/2", own("AUTHORISATION", 0));
        adjust(&mut state, None, own("AUTHORISATION", 0));
        assert_eq!(adjust(&mut state, None, related("SUCCEEDED", 1)).len(), 1);
        assert_eq!(state.shown, "0");
    }

    #[test]
    fn each_is_dated_later_than_the_one_before() {
        let amount = BigInt::from(1);
        let event = |second| Event {
            status: "PENDING",
            amount: &amount,
            at: at(second),
            is_own: true,
        };
        let mut state = begin("OTHER", "EUR/2", event(10));
        let mut newest = None;
        let dates: Vec<Timestamp> = [10, 10, 5, 20, 20]
            .into_iter()
            .map(|second| {
                let created_at = adjust(&mut state, newest, event(second))[0].created_at;
                newest = Some(created_at);
                created_at
            })
            .collect();
        assert_eq!(dates[0], at(10));
        assert_eq!(dates[3], at(20));
        assert!(dates.windows(2).all(|pair| pair[0] < pair[1]), "{dates:?}");
    }

    proptest! {
        /// Whatever is told: what Formance computes is what the state says, and it never leaves what can be meant.
        #[test]
        fn any_history_stays_within_what_was_paid(
            history in prop::collection::vec((0..STATUSES.len(), 0i64..200), 1..12)
        ) {
            let history: Vec<(&str, i64)> = history
                .into_iter()
                .map(|(status, amount)| (STATUSES[status], amount))
                .collect();
            let most = history.iter().map(|(_, amount)| *amount).max().unwrap();
            let shown: i64 = told(&history).0.parse().unwrap();
            prop_assert!((0..=most).contains(&shown), "{shown} of {history:?}");
        }
    }
}
