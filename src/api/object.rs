//! The objects of the API as they are on the wire, for readers that want more than a record's key and date.
//!
//! They borrow from the record's text. Fields that the API does not require are optional; unknown fields are ignored
//! here and survive in the record. `type` and `status` are kept as the service sent them: an unknown value counts as
//! `OTHER` only where a reader needs one of the specification's values.

use std::borrow::Cow;

use serde::Deserialize;

/// An INTERNAL account at the PSP.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account<'a> {
    /// Its name for people.
    #[serde(borrow)]
    pub account_name: Cow<'a, str>,
}

/// The amounts that an account holds, one for each asset.
#[derive(Debug, Deserialize)]
pub struct Balances<'a> {
    /// The amounts.
    #[serde(borrow)]
    pub balances: Vec<Balance<'a>>,
}

/// An amount of one asset.
#[derive(Debug, Deserialize)]
pub struct Balance<'a> {
    /// Decimal digits, in minor units.
    #[serde(borrow)]
    pub amount: Cow<'a, str>,
    /// The asset, in UMN notation.
    #[serde(borrow)]
    pub currency: Cow<'a, str>,
}

/// An EXTERNAL account, a payout's destination.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Beneficiary<'a> {
    /// The name of the account's owner.
    #[serde(borrow)]
    pub owner_name: Cow<'a, str>,
}

/// A movement of money.
#[derive(Debug, Deserialize)]
pub struct Transaction<'a> {
    /// The asset, in UMN notation.
    #[serde(borrow)]
    pub currency: Cow<'a, str>,
    /// `PAYIN`, `PAYOUT`, `TRANSFER`, `OTHER`, or a value of the service's own.
    #[serde(borrow, rename = "type")]
    pub kind: Cow<'a, str>,
    /// `PENDING`, `SUCCEEDED`, …, or a value of the service's own.
    #[serde(borrow)]
    pub status: Cow<'a, str>,
    /// Decimal digits, in minor units.
    #[serde(borrow)]
    pub amount: Cow<'a, str>,
    /// The account that the money left.
    #[serde(borrow, rename = "sourceAccountID", default)]
    pub source_account_id: Option<Cow<'a, str>>,
    /// The account or beneficiary that it went to.
    #[serde(borrow, rename = "destinationAccountID", default)]
    pub destination_account_id: Option<Cow<'a, str>>,
}
