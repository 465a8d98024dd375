use std::fmt;
use std::ops::{Index, IndexMut};

use serde::{Serialize, Serializer};

/// One of the four kinds of record that a service lists.
///
/// The order is the order of the change log within a batch: a reader meets an account before what refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// INTERNAL accounts at the PSP; key `id`, dated by `createdAt`.
    Accounts,
    /// The amounts that an account holds; key `accountID`, dated by `at`.
    Balances,
    /// EXTERNAL accounts, a payout's destination; key `id`, dated by `createdAt`.
    Beneficiaries,
    /// Movements of money; key `id`, dated by `updatedAt`.
    Transactions,
}

impl Stream {
    /// Every stream, in the order of the change log.
    pub const ALL: [Stream; 4] = [
        Stream::Accounts,
        Stream::Balances,
        Stream::Beneficiaries,
        Stream::Transactions,
    ];

    /// The streams that are read page by page. Balances are asked for account by account.
    pub const LISTED: [Stream; 3] = [
        Stream::Accounts,
        Stream::Beneficiaries,
        Stream::Transactions,
    ];

    /// The stream's name in paths, in the change log and in the state.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Accounts => "accounts",
            Stream::Balances => "balances",
            Stream::Beneficiaries => "beneficiaries",
            Stream::Transactions => "transactions",
        }
    }

    /// The stream of that [`name`](Stream::name).
    pub fn from_name(name: &str) -> Option<Stream> {
        Stream::ALL.into_iter().find(|stream| stream.name() == name)
    }

    /// The field that holds a record's key.
    pub fn key_field(self) -> &'static str {
        match self {
            Stream::Balances => "accountID",
            _ => "id",
        }
    }

    /// The field that dates a record, and by which lists are sorted and filtered.
    pub fn date_field(self) -> &'static str {
        match self {
            Stream::Accounts | Stream::Beneficiaries => "createdAt",
            Stream::Balances => "at",
            Stream::Transactions => "updatedAt",
        }
    }

    /// The fields of a record, as the API names them.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Stream::Accounts => &["id", "accountName", "createdAt", "metadata"],
            Stream::Balances => &["id", "accountID", "at", "balances"],
            Stream::Beneficiaries => &["id", "ownerName", "createdAt", "metadata"],
            Stream::Transactions => &[
                "id",
                "relatedTransactionID",
                "createdAt",
                "updatedAt",
                "currency",
                "scheme",
                "type",
                "status",
                "amount",
                "sourceAccountID",
                "destinationAccountID",
                "metadata",
            ],
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One value for each stream. Serialised as a map from the streams' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerStream<T>([T; Stream::ALL.len()]);

impl<T> PerStream<T> {
    /// The values that `value` gives, stream by stream.
    pub fn from_fn(value: impl FnMut(Stream) -> T) -> PerStream<T> {
        PerStream(Stream::ALL.map(value))
    }

    /// The values that `value` gives, stream by stream, or its first error.
    pub fn try_from_fn<E>(
        mut value: impl FnMut(Stream) -> Result<T, E>,
    ) -> Result<PerStream<T>, E> {
        let [a, b, c, d] = Stream::ALL;
        Ok(PerStream([value(a)?, value(b)?, value(c)?, value(d)?]))
    }

    /// Each stream with its value, in the order of the change log.
    pub fn iter(&self) -> impl Iterator<Item = (Stream, &T)> {
        Stream::ALL.into_iter().zip(&self.0)
    }

    /// The values alone, in the order of the change log.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }

    /// As [`values`](PerStream::values), to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }
}

impl<T> Index<Stream> for PerStream<T> {
    type Output = T;

    fn index(&self, stream: Stream) -> &T {
        &self.0[stream as usize]
    }
}

impl<T> IndexMut<Stream> for PerStream<T> {
    fn index_mut(&mut self, stream: Stream) -> &mut T {
        &mut self.0[stream as usize]
    }
}

impl<T: Serialize> Serialize for PerStream<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(stream, value)| (stream.name(), value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stream_has_a_value_of_its_own() {
        let mut lengths = PerStream::from_fn(|stream| stream.name().len());
        lengths[Stream::Balances] += 100;
        for (stream, length) in lengths.iter() {
            let added = if stream == Stream::Balances { 100 } else { 0 };
            assert_eq!(*length, stream.name().len() + added);
            assert_eq!(*length, lengths[stream]);
        }
        assert_eq!(PerStream::<()>::try_from_fn(Err), Err(Stream::Accounts));
        assert_eq!(
            serde_json::to_string(&lengths).unwrap(),
            r#"{"accounts":8,"balances":108,"beneficiaries":13,"transactions":12}"#
        );
    }
}
