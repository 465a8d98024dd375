use serde::Serialize;

use super::wire::{Metadata, date_as_text, metadata, observed_at};
use crate::api::{Members, Stream, Timestamp};
use crate::formance::{
    LONGEST_NAME, Unfit, check_reference, non_empty_text, payment_date, storable,
};
use crate::store::Change;

/// The body of `POST /accounts`: a version of an account or a beneficiary.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PaymentsAccount<'a> {
    pub reference: String,
    #[serde(rename = "connectorID")]
    connector_id: &'a str,
    #[serde(serialize_with = "date_as_text")]
    pub created_at: Timestamp,
    #[serde(rename = "accountName")]
    name: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
}

impl<'a> PaymentsAccount<'a> {
    /// Reads a version. The error says why the API cannot have it.
    pub fn read(change: &Change, connector_id: &'a str) -> Result<PaymentsAccount<'a>, Unfit> {
        let json = storable(&change.json);
        let record = Members::read(&json)?;
        let (name_field, kind) = match change.stream {
            Stream::Beneficiaries => ("ownerName", "EXTERNAL"),
            _ => ("accountName", "INTERNAL"),
        };
        let reference = record.text("id")?.into_owned();
        check_reference(&reference)?;
        let name = match non_empty_text(&record, name_field) {
            Some(name) => name.chars().take(LONGEST_NAME).collect(),
            None => reference.clone(),
        };
        Ok(PaymentsAccount {
            created_at: payment_date(&record, "createdAt", observed_at(change)),
            reference,
            connector_id,
            name,
            kind,
            metadata: metadata(&record),
        })
    }
}
