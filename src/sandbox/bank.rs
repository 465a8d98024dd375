//! The built-in data: a small invented bank. Every start gives the same records, dated relative to the start.
//!
//! It contains the hard cases for a reader: a batch posting of more than a page within one second, assets that are not
//! currencies, an amount beyond 64 bits, every type and status, and pending transactions.

use std::collections::HashMap;
use std::path::Path;

use super::Error;
use super::data::Data;
use crate::api::{Second, Stream};

const DAY: u64 = 86_400;

/// Batch postings at midnight: days ago, number of transactions. The first is larger than a page of 100.
const POSTINGS: [(u64, u64); 4] = [(30, 150), (75, 12), (45, 8), (10, 5)];
/// Number of transactions that are posted one by one over the 90 days.
const SINGLES: u64 = 204;
/// Number of pending transactions, from the last 20 hours.
const PENDING: u64 = 20;

const BENEFICIARIES: [(&str, &str, &str); 6] = [
    ("ben-vauban", "Atelier Vauban SARL", "FR"),
    ("ben-nordlicht", "Nordlicht Logistik GmbH", "DE"),
    ("ben-harbour", "Harbour & Finch Ltd", "GB"),
    ("ben-meridian", "Meridian Cloud Services Inc", "US"),
    ("ben-orbita", "Café Órbita S.L.", "ES"),
    ("ben-lakeside", "Lakeside Mining Cooperative", "CA"),
];

struct BankAccount {
    id: &'static str,
    name: &'static str,
    asset: &'static str,
    /// Its balance 90 days ago, in minor units.
    opening: i128,
}

const fn account(
    id: &'static str,
    name: &'static str,
    asset: &'static str,
    opening: i128,
) -> BankAccount {
    BankAccount {
        id,
        name,
        asset,
        opening,
    }
}

const ACCOUNTS: [BankAccount; 6] = [
    account(
        "acc-eur-collections",
        "Card collections EUR",
        "EUR/2",
        182_450_017,
    ),
    account(
        "acc-eur-operating",
        "Operating account EUR",
        "EUR/2",
        964_120_550,
    ),
    account(
        "acc-usd-operating",
        "Operating account USD",
        "USD/2",
        731_008_294,
    ),
    account(
        "acc-usd-reserve",
        "Safeguarding reserve USD",
        "USD/2",
        2_500_000_000,
    ),
    account("acc-btc-treasury", "Treasury BTC", "BTC/8", 12_750_000_000),
    account("acc-points", "Loyalty points in circulation", "POINT/18", 0),
];

const EUR_IN: &str = ACCOUNTS[0].id;
const EUR: &str = ACCOUNTS[1].id;
const USD: &str = ACCOUNTS[2].id;
const USD_RESERVE: &str = ACCOUNTS[3].id;
const BTC: &str = ACCOUNTS[4].id;
const POINTS: &str = ACCOUNTS[5].id;
const VAUBAN: &str = BENEFICIARIES[0].0;
const HARBOUR: &str = BENEFICIARIES[2].0;
const MERIDIAN: &str = BENEFICIARIES[3].0;
const LAKESIDE: &str = BENEFICIARIES[5].0;

/// Type, status, scheme, source, destination. An empty text means none.
type Shape = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const SHAPES: [Shape; 21] = [
    ("PAYIN", "SUCCEEDED", "CARD_VISA", "", EUR_IN),
    ("PAYOUT", "SUCCEEDED", "SEPA_CREDIT", EUR, VAUBAN),
    ("PAYIN", "CAPTURE", "CARD_MASTERCARD", "", EUR_IN),
    ("TRANSFER", "SUCCEEDED", "SEPA_CREDIT", EUR_IN, EUR),
    ("PAYIN", "AUTHORISATION", "CARD_VISA", "", EUR_IN),
    ("PAYIN", "SUCCEEDED", "ACH", "", USD),
    ("PAYOUT", "FAILED", "ACH", USD, MERIDIAN),
    ("PAYIN", "REFUNDED", "CARD_VISA", "", EUR_IN),
    ("OTHER", "SUCCEEDED", "", EUR, ""),
    ("PAYIN", "DISPUTE", "CARD_MASTERCARD", "", EUR_IN),
    ("PAYOUT", "CANCELLED", "ACH", USD, HARBOUR),
    ("TRANSFER", "SUCCEEDED", "ACH", USD, USD_RESERVE),
    ("PAYIN", "EXPIRED", "SEPA_DEBIT", "", EUR),
    ("PAYIN", "SUCCEEDED", "OTHER", "", BTC),
    ("PAYOUT", "SUCCEEDED", "OTHER", BTC, LAKESIDE),
    ("PAYIN", "DISPUTE_WON", "CARD_VISA", "", EUR_IN),
    ("PAYIN", "DISPUTE_LOST", "CARD_VISA", "", EUR_IN),
    ("PAYIN", "CAPTURE_FAILED", "CARD_MASTERCARD", "", EUR_IN),
    ("PAYIN", "REFUNDED_FAILURE", "SEPA_DEBIT", "", EUR),
    ("PAYIN", "REFUND_REVERSED", "CARD_VISA", "", EUR_IN),
    ("OTHER", "OTHER", "", USD, ""),
];

/// Indices of the shapes that the pending transactions take in turn.
const PENDING_SHAPES: [usize; 5] = [0, 1, 5, 11, 14];

/// The statuses in which the money has moved.
const SETTLED: [&str; 5] = [
    "SUCCEEDED",
    "CAPTURE",
    "DISPUTE_WON",
    "REFUNDED_FAILURE",
    "REFUND_REVERSED",
];

/// The bank at `now`.
pub(super) fn data(now: Second) -> Result<Data, Error> {
    let mut transactions = transactions(now);
    transactions.sort_by_key(|transaction| transaction.created);
    let mut data = Data::empty();
    for (stream, lines) in [
        (Stream::Accounts, accounts(now)),
        (Stream::Balances, balances(now, &transactions)),
        (Stream::Beneficiaries, beneficiaries(now)),
        (Stream::Transactions, transaction_lines(&transactions)),
    ] {
        let name = format!("the built-in {stream}");
        data.list_mut(stream)
            .read(Path::new(&name), lines.as_bytes())?;
    }
    Ok(data)
}

fn accounts(now: Second) -> String {
    let line = |(number, account): (u64, &BankAccount)| {
        let created = now.earlier((400 - 37 * number) * DAY + 11_213 * (number + 1));
        format!(
            r#"{{"id":"{}","accountName":"{}","createdAt":"{created}","metadata":{{"branch":"Sample Bank","asset":"{}"}}}}{}"#,
            account.id, account.name, account.asset, '\n'
        )
    };
    (0..).zip(&ACCOUNTS).map(line).collect()
}

fn beneficiaries(now: Second) -> String {
    let line = |(number, (id, name, country)): (u64, &(&str, &str, &str))| {
        let created = now.earlier((300 - 41 * number) * DAY + 7_919 * (number + 1));
        format!(
            r#"{{"id":"{id}","ownerName":"{name}","createdAt":"{created}","metadata":{{"country":"{country}"}}}}{}"#,
            '\n'
        )
    };
    (0..).zip(&BENEFICIARIES).map(line).collect()
}

/// The opening balances plus the settled transactions.
fn balances(now: Second, transactions: &[BankTransaction]) -> String {
    let mut moved: HashMap<&str, (i128, Second)> = HashMap::new();
    let opened = now.earlier(90 * DAY);
    for transaction in transactions {
        if !SETTLED.contains(&transaction.status) {
            continue;
        }
        for (account, change) in [
            (transaction.source, -transaction.amount),
            (transaction.destination, transaction.amount),
        ] {
            let (sum, at) = moved.entry(account).or_insert((0, opened));
            *sum += change;
            *at = (*at).max(transaction.updated);
        }
    }
    let line = |account: &BankAccount| {
        let (sum, at) = moved.get(account.id).copied().unwrap_or((0, opened));
        format!(
            r#"{{"id":"bal-{id}","accountID":"{id}","at":"{at}","balances":[{{"amount":"{amount}","currency":"{asset}"}}]}}{end}"#,
            id = account.id,
            asset = account.asset,
            amount = account.opening + sum,
            end = '\n'
        )
    };
    ACCOUNTS.iter().map(line).collect()
}

struct BankTransaction {
    created: Second,
    updated: Second,
    kind: &'static str,
    status: &'static str,
    scheme: &'static str,
    source: &'static str,
    destination: &'static str,
    amount: i128,
    /// JSON. An empty text means none.
    metadata: String,
}

impl BankTransaction {
    fn new(shape: Shape, created: Second, amount: i128) -> BankTransaction {
        let (kind, status, scheme, source, destination) = shape;
        BankTransaction {
            created,
            updated: created,
            kind,
            status,
            scheme,
            source,
            destination,
            amount,
            metadata: String::new(),
        }
    }

    fn asset(&self) -> &'static str {
        ACCOUNTS
            .iter()
            .find(|account| account.id == self.source || account.id == self.destination)
            .map_or("EUR/2", |account| account.asset)
    }
}

fn transactions(now: Second) -> Vec<BankTransaction> {
    // `Second::MIN` is a midnight.
    let is_midnight = |second: Second| second.since(Second::MIN).is_multiple_of(DAY);
    let midnight = |days: u64| now.earlier(now.since(Second::MIN) % DAY + days * DAY);
    // Only the postings are dated at midnight. So their sizes do not depend on the time of the start.
    let clear = |ago: u64| {
        let second = now.earlier(ago);
        if is_midnight(second) {
            now.earlier(ago + 1)
        } else {
            second
        }
    };
    let mut transactions = Vec::new();
    for (days, size) in POSTINGS {
        for (line, &(beneficiary, ..)) in (1..=size).zip(BENEFICIARIES.iter().cycle().skip(1)) {
            let shape = ("PAYOUT", "SUCCEEDED", "SEPA_CREDIT", EUR, beneficiary);
            let amount = 100_000 + i128::from(line * 7_919 % 90_000);
            transactions.push(BankTransaction {
                metadata: format!(r#"{{"batch":"payouts-{days}","line":"{line}"}}"#),
                ..BankTransaction::new(shape, midnight(days), amount)
            });
        }
    }
    for (number, &shape) in (0..SINGLES).zip(SHAPES.iter().cycle()) {
        // From 89 days to a little over a day ago, with up to an hour of jitter.
        let ago = 89 * DAY - number * (88 * DAY / SINGLES) + number * 7_919 % 3_600;
        let lag = (number * 4_057 % (3 * DAY)).min(ago / 2);
        transactions.push(BankTransaction {
            updated: clear(ago - lag),
            metadata: match number % 3 {
                0 => format!(r#"{{"orderId":"ord-{}","channel":"web"}}"#, 1_000 + number),
                1 => "null".to_owned(),
                _ => String::new(),
            },
            ..BankTransaction::new(shape, clear(ago), amount(shape, number))
        });
    }
    // 250 million points, which is beyond 64 bits in minor units.
    let issue = ("PAYIN", "SUCCEEDED", "OTHER", "", POINTS);
    transactions.push(BankTransaction {
        metadata: r#"{"reason":"yearly issue"}"#.to_owned(),
        ..BankTransaction::new(
            issue,
            clear(60 * DAY + 4_321),
            250_000_000 * 10_i128.pow(18),
        )
    });
    for (number, &shape) in (0..PENDING).zip(PENDING_SHAPES.iter().cycle()) {
        let shape = SHAPES[shape];
        let created = clear(20 * 3_600 - number * 3_780);
        transactions.push(BankTransaction {
            status: "PENDING",
            ..BankTransaction::new(shape, created, amount(shape, number))
        });
    }
    transactions
}

fn amount(shape: Shape, number: u64) -> i128 {
    let vary = |least: i128, range: u64| least + i128::from(number * 104_729 % range);
    match shape {
        // A waived fee, and corrections at the bank's expense.
        ("OTHER", "SUCCEEDED", ..) if number < 21 => 0,
        ("OTHER", "OTHER", ..) => -vary(150, 900),
        ("OTHER", ..) => vary(25, 1_500),
        ("TRANSFER", ..) => vary(500_000, 900_000),
        (_, _, _, BTC, _) | (_, _, _, _, BTC) => vary(150_000, 40_000_000),
        _ => vary(990, 250_000),
    }
}

fn transaction_lines(transactions: &[BankTransaction]) -> String {
    let mut lines = String::new();
    let mut last_payin = None;
    for (number, transaction) in (1..).zip(transactions) {
        let id = format!("tx-{number:05}");
        lines.push_str(&format!(
            r#"{{"id":"{id}","createdAt":"{}","updatedAt":"{}","currency":"{}","type":"{}","status":"{}","amount":"{}""#,
            transaction.created,
            transaction.updated,
            transaction.asset(),
            transaction.kind,
            transaction.status,
            transaction.amount
        ));
        let refers = ["DISPUTE", "REFUND"]
            .iter()
            .any(|begin| transaction.status.starts_with(begin));
        let related: Option<&String> = last_payin.as_ref().filter(|_| refers);
        for (field, value) in [
            ("scheme", transaction.scheme),
            ("sourceAccountID", transaction.source),
            ("destinationAccountID", transaction.destination),
            ("relatedTransactionID", related.map_or("", String::as_str)),
        ] {
            if !value.is_empty() {
                lines.push_str(&format!(r#","{field}":"{value}""#));
            }
        }
        if !transaction.metadata.is_empty() {
            lines.push_str(&format!(r#","metadata":{}"#, transaction.metadata));
        }
        lines.push_str("}\n");
        if (transaction.kind, transaction.status) == ("PAYIN", "SUCCEEDED") {
            last_payin = Some(id);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::Timestamp;

    #[test]
    fn the_bank_does_not_depend_on_the_time_of_the_start() {
        let now = Timestamp::now().second();
        for number in 0..24 {
            let bank = data(now.earlier(number * 3_607)).unwrap();
            let mut seconds = BTreeMap::new();
            for record in bank.list(Stream::Transactions).iter() {
                *seconds.entry(record.timestamp).or_insert(0) += 1;
            }
            let mut sizes: Vec<_> = seconds.into_values().collect();
            sizes.sort_unstable_by(|one, other| other.cmp(one));
            assert_eq!(sizes[..4], [150, 12, 8, 5], "{number}");
        }
        // The hardest time is exactly midnight.
        let midnight = now.earlier(now.since(Second::MIN) % 86_400);
        assert!(data(midnight).is_ok());
    }
}
