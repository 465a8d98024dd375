//! How values are kept in columns: enums by their names, dates as RFC 3339, structures as JSON.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{InitiationState, PollOutcome, QuarantineKind, Stamp};
use crate::api::{ContentHash, Initiation, Second, SharedText, Stream, Timestamp};
use crate::formance::LeftOut;

/// A value that a column holds as JSON.
pub(super) struct AsJson<T>(pub T);

/// Keeps an enum by its name. A name that is not known means that the file is damaged.
macro_rules! kept_by_name {
    ($($type:ty: $what:literal),*) => {$(
        impl ToSql for $type {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.name().into())
            }
        }

        impl FromSql for $type {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let name = value.as_str()?;
                <$type>::from_name(name).ok_or_else(|| unusable(format!("{name:?} is no {}", $what)))
            }
        }
    )*};
}

kept_by_name!(
    Stream: "stream",
    Initiation: "initiation",
    InitiationState: "state of an initiation",
    PollOutcome: "outcome of a poll",
    QuarantineKind: "kind of quarantine",
    LeftOut: "reason to leave something out of a list"
);

impl ToSql for SharedText {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok((**self).into())
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::parse(value.as_str()?).map_err(unusable)
    }
}

impl ToSql for Second {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Second {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::column_result(value).map(Timestamp::second)
    }
}

impl ToSql for Stamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.nanoseconds().into())
    }
}

impl FromSql for Stamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        i64::column_result(value).map(Stamp::from_nanoseconds)
    }
}

impl ToSql for ContentHash {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_slice().into())
    }
}

impl FromSql for ContentHash {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        <[u8; 16]>::column_result(value).map(ContentHash)
    }
}

impl<T: Serialize> ToSql for AsJson<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(text.into())
    }
}

impl<T: DeserializeOwned> FromSql for AsJson<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(AsJson)
            .map_err(unusable)
    }
}

/// What the column holds is not what this program writes there.
fn unusable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FromSqlError {
    FromSqlError::Other(error.into())
}
