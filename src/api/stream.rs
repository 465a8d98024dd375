use std::fmt;

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
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
