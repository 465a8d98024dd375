use crate::api::{Amount, Invalid, escaped};

/// Characters of an account's name. The Payments API takes no more.
pub const LONGEST_NAME: usize = 1_000;

/// Characters of the reference of an account, a payment or an adjustment. The Payments API takes no fewer.
const SHORTEST_REFERENCE: usize = 3;

/// Digits of an amount. PostgreSQL's `numeric` has at most 131,072 before the decimal point.
const LONGEST_AMOUNT: usize = 100_000;

/// Bytes of an account's id. Formance reads the balances of each account on a schedule of Temporal, whose id may have
/// 1,000 bytes (`limit.maxIDLength`). In it, 140 bytes are the connector's id, a date and what separates them; the rest
/// is the account's id and the name of the stack.
const LONGEST_ACCOUNT: usize = 800;

/// Why Formance cannot take a record, or a part of it.
///
/// The texts are in the plural because skipped versions are counted by them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The record breaks a rule of the Generic Connector API. The first versions of this program stored such records.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The record's id has too few characters for the Payments API.
    #[error(
        "ids shorter than {SHORTEST_REFERENCE} characters: the Payments API does not accept them"
    )]
    ShortId,
    /// The record's id makes an id of Formance's that PostgreSQL cannot index.
    #[error("ids too long for an index of Formance's database")]
    LongId,
    /// The account's id makes an id of a schedule that Temporal does not take.
    #[error(
        "accounts with ids of more than {LONGEST_ACCOUNT} bytes: Formance cannot schedule the reading of their balances"
    )]
    LongAccountId,
    /// The amount has more digits than PostgreSQL can store.
    #[error("amounts of more than {LONGEST_AMOUNT} digits: Formance's database cannot store them")]
    LongAmount,
    /// The asset, which is one that the Payments API does not know.
    #[error(
        "asset {}: the Payments API accepts only ISO 4217 codes with their decimals, such as USD/2 or JPY/0",
        escaped(.0)
    )]
    Asset(String),
}

/// Checks the length of a reference.
pub fn check_reference(id: &str) -> Result<(), Unfit> {
    if id.chars().count() < SHORTEST_REFERENCE {
        return Err(Unfit::ShortId);
    }
    Ok(())
}

/// Checks the length of the id of an account whose balances Formance reads.
pub(super) fn check_account(id: &str) -> Result<(), Unfit> {
    if id.len() > LONGEST_ACCOUNT {
        return Err(Unfit::LongAccountId);
    }
    Ok(())
}

/// Checks the length of an amount.
pub fn check_amount(amount: &Amount) -> Result<(), Unfit> {
    if amount.to_string().len() > LONGEST_AMOUNT {
        return Err(Unfit::LongAmount);
    }
    Ok(())
}

/// An asset as the Payments API accepts it, which wants the number of decimals even where it is 0: `JPY/0` for `JPY`.
/// Which codes it knows, only its answers say.
pub fn payments_asset(asset: String) -> String {
    if asset.contains('/') {
        asset
    } else {
        asset + "/0"
    }
}
