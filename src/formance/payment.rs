//! A transaction's versions as adjustments of a payment, such that Formance shows the right amount and the right status.
//! Both ways into Formance ask here: a publisher sends the adjustments, and the lists show versions that Formance's own
//! poller makes the same adjustments of. Pure.
//!
//! Formance keeps each adjustment once, by (payment, reference, date, status), shows the status of the newest date, and
//! moves the payment's amount by each one that is new: `REFUNDED` takes its amount away, `CAPTURE` and
//! `REFUND_REVERSED` add theirs (formancehq/payments v3.4.0, `internal/storage/payments.go`). A poll can miss a status,
//! and services describe the same history in several ways, as one transaction that changes or as several that are
//! related. So an adjustment is sent with the amount that leads to the right sum: a capture never adds what is counted
//! already, a refund never takes more than is there, and an authorisation that has succeeded is captured first.

use num_bigint::{BigInt, BigUint, Sign};
use serde::{Deserialize, Serialize};

use crate::api::Timestamp;

/// Nanoseconds between two adjustments of a transaction, at least: Formance's database keeps microseconds.
const APART: i64 = 1_000;

/// How a transaction is a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// It is an adjustment of this transaction's payment.
    Of(String),
    /// It has a payment of its own.
    Own(PaymentState),
}

/// A payment as Formance has it. Amounts are decimal digits in minor units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentState {
    /// The type under which it is known.
    #[serde(rename = "type")]
    pub kind: String,
    /// The asset of its amounts.
    pub asset: String,
    /// The `initialAmount`.
    pub initial: String,
    /// The `amount`, as the adjustments have moved it.
    pub shown: String,
    /// Whether it is authorised and nothing of it is counted yet.
    pub is_open: bool,
}

/// What an adjustment is made of: a status that a transaction has reached.
#[derive(Debug, Clone, Copy)]
pub struct PaymentEvent<'a> {
    /// A known status of the API, else `OTHER`.
    pub status: &'a str,
    /// Minor units.
    pub amount: &'a BigInt,
    /// When it happened, according to the service, and not later than it was read.
    pub at: Timestamp,
    /// Whether it is of the payment's own transaction, and not of a related one.
    pub is_own: bool,
}

/// An adjustment as Formance gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adjustment {
    pub status: String,
    /// Minor units.
    pub amount: BigInt,
    /// The event's date, but later than that of the transaction's adjustment before it.
    pub created_at: Timestamp,
}

impl Part {
    /// How a transaction that relates to this one is a payment. `id` is this one's.
    pub fn relative(&self, id: &str) -> Part {
        match self {
            Part::Own(_) => Part::Of(id.to_owned()),
            Part::Of(root) => Part::Of(root.clone()),
        }
    }
}

/// How a payment begins that Formance does not have yet, before its first adjustment.
pub fn begin(kind: &str, asset: &str, first: PaymentEvent) -> PaymentState {
    let counts_later =
        is_open(first.status) || matches!(first.status, "CAPTURE" | "REFUND_REVERSED");
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
        is_open: is_open(first.status),
    }
}

/// Whether a payment that begins with that status is authorised and nothing of it is counted yet.
pub fn is_open(first: &str) -> bool {
    matches!(first, "AUTHORISATION" | "CAPTURE_FAILED")
}

/// Whether an adjustment of that status moves the payment's amount.
pub fn moves_amount(status: &str) -> bool {
    matches!(status, "CAPTURE" | "REFUNDED" | "REFUND_REVERSED")
}

/// The adjustments that an event of a transaction adds to a payment, in order. The state becomes what Formance then has.
/// `newest` is the date of the transaction's newest adjustment before.
pub fn adjust(
    state: &mut PaymentState,
    newest: Option<Timestamp>,
    event: PaymentEvent,
) -> Vec<Adjustment> {
    let mut adjustments: Vec<Adjustment> = Vec::new();
    let mut date = newest.map_or(event.at, |newest| {
        event.at.max(newest.plus_nanoseconds(APART))
    });
    let has_settled = matches!(
        event.status,
        "SUCCEEDED" | "REFUNDED" | "REFUNDED_FAILURE" | "DISPUTE" | "DISPUTE_WON" | "DISPUTE_LOST"
    );
    if state.is_open && event.is_own && has_settled {
        // A refund may be of a part of what was captured.
        let authorised = state.initial.parse().unwrap_or_default();
        let amount = if event.status == "REFUNDED" {
            &authorised
        } else {
            event.amount
        };
        let capture = PaymentEvent {
            status: "CAPTURE",
            amount,
            at: date,
            ..event
        };
        adjustments.push(one(state, capture));
        date = date.plus_nanoseconds(APART);
    }
    adjustments.push(one(state, PaymentEvent { at: date, ..event }));
    adjustments
}

/// The amount that an event of a payment in that state is sent with.
pub fn sent(state: &PaymentState, event: PaymentEvent) -> BigInt {
    one(&mut state.clone(), event).amount
}

fn one(state: &mut PaymentState, event: PaymentEvent) -> Adjustment {
    let initial: BigInt = state.initial.parse().unwrap_or_default();
    let shown: BigInt = state.shown.parse().unwrap_or_default();
    // A payment may have a negative amount, and its refund either sign.
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

    /// Pushes a history of (status, amount): what Formance then shows, and the adjustments.
    fn pushed(history: &[(&str, i64)]) -> (String, Vec<(String, String)>) {
        let mut pushed: Vec<Adjustment> = Vec::new();
        let mut state = None;
        let mut base = BigInt::ZERO;
        for (second, (status, amount)) in history.iter().enumerate() {
            let amount = BigInt::from(*amount);
            let event = PaymentEvent {
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
            let newest = pushed.last().map(|last: &Adjustment| last.created_at);
            pushed.extend(adjust(state, newest, event));
            assert_eq!(moved(&base, &pushed).to_string(), state.shown);
        }
        let adjustments = pushed
            .iter()
            .map(|adjustment| (adjustment.status.clone(), adjustment.amount.to_string()))
            .collect();
        (moved(&base, &pushed).to_string(), adjustments)
    }

    #[test]
    fn amounts_come_out_right_however_the_history_is_described() {
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
            assert_eq!(pushed(&history).0, shown.to_string(), "{history:?}");
        }
    }

    /// Also one that is refunded in part: what is refunded says nothing about what was captured.
    #[test]
    fn what_is_refunded_was_captured() {
        for (refund, shown) in [(100, "0"), (30, "70"), (150, "0")] {
            let history = [("AUTHORISATION", 100), ("REFUNDED", refund)];
            assert_eq!(pushed(&history).0, shown);
        }
    }

    #[test]
    fn a_missed_capture_is_pushed_before_what_came_after_it() {
        let (_, adjustments) = pushed(&[("AUTHORISATION", 100), ("SUCCEEDED", 100)]);
        let pair = |status: &str| (status.to_owned(), "100".to_owned());
        assert_eq!(
            adjustments,
            [pair("AUTHORISATION"), pair("CAPTURE"), pair("SUCCEEDED")]
        );
    }

    #[test]
    fn related_transactions_move_the_amount_once() {
        let (hundred, thirty) = (BigInt::from(100), BigInt::from(30));
        let own = |status, second| PaymentEvent {
            status,
            amount: &hundred,
            at: at(second),
            is_own: true,
        };
        let related = |status, second| PaymentEvent {
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
        let event = |second| PaymentEvent {
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
        /// Whatever is pushed, Formance computes what the state says, and never more than was paid nor less than nothing.
        #[test]
        fn any_history_stays_within_what_was_paid(
            history in prop::collection::vec((0..STATUSES.len(), 0i64..200), 1..12)
        ) {
            let history: Vec<(&str, i64)> = history
                .into_iter()
                .map(|(status, amount)| (STATUSES[status], amount))
                .collect();
            let most = history.iter().map(|(_, amount)| *amount).max().unwrap();
            let shown: i64 = pushed(&history).0.parse().unwrap();
            prop_assert!((0..=most).contains(&shown), "{shown} of {history:?}");
        }
    }
}
