//! Faults: one departure from the API each, for trying out what a client makes of it, and what `check` says about it.
//!
//! | file | what is departed from |
//! |---|---|
//! | `query` | what a list is asked for |
//! | `list` | the pages of a list |
//! | `record` | a record on a page |
//! | `balances` | an account's balances |
//! | `initiation` | payouts and transfers |
//! | `answer` | the key, the headers, the errors |

mod answer;
mod balances;
mod initiation;
mod list;
mod query;
mod record;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Mutex, PoisonError};

/// Makes the faults and their table. The comment of a fault is its help; the id is that of the check that fails.
macro_rules! faults {
    ($(#[doc = $what:literal] $fault:ident $name:literal $id:literal;)*) => {
        /// A way in which a service departs from the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault {
            $(#[doc = $what] $fault,)*
        }

        impl Fault {
            /// Every fault, with its name, the id of the check that fails, and what it is.
            pub const ALL: &'static [(Fault, &'static str, &'static str, &'static str)] =
                &[$((Fault::$fault, $name, $id, $what),)*];
        }
    };
}

faults! {
    /// answers without a key
    NoKey "nokey" "A1";
    /// accepts a key that only begins with the right one
    LaxKey "laxkey" "A2";
    /// accepts no key, not even the right one
    Denies "denies" "A3";
    /// repeats the key in a header
    Echo "echo" "A4";
    /// redirects each path to the same one with a slash behind it
    Redirect "redirect" "A6";
    /// says that its answers are text/plain
    Plain "plain" "H1";
    /// closes the connection after each answer
    Close "close" "H2";
    /// ends its answers by closing the connection, without a length
    CloseDelimited "closedelim" "H3";
    /// never compresses
    NoGzip "nogzip" "H4";
    /// has a clock that is an hour ahead
    Clock "clock" "H5";
    /// takes 10 s for one of its answers
    Slow "slow" "H6";
    /// mixes up the balances of accounts that are asked for at once
    MixUp "mixup" "H7";
    /// sends a header of 9 KiB
    LargeHeader "largeheader" "H8";
    /// answers 500 to an unknown path
    Nowhere500 "nowhere500" "H9";
    /// answers lists with a login page
    Html200 "html200" "L1";
    /// puts lists into an object
    Wrapped "wrapped" "L1";
    /// answers an empty page with null
    PastNull "pastnull" "L1";
    /// has a default pageSize of 3
    Default3 "default3" "L2";
    /// lists the newest records first
    Desc "desc" "O1";
    /// continues a page behind the last date of the page before
    Ties "ties" "O2";
    /// changes the order of transactions of one second with each request
    Unstable "unstable" "O3";
    /// sorts transactions by createdAt
    ByCreation "bycreation" "O4";
    /// puts at most 50 records on a page
    Cap "cap" "P1";
    /// ignores pageSize
    OneSize "onesize" "P1";
    /// ignores page
    IgnorePage "ignorepage" "P2";
    /// answers 404 to a page past the last one
    Past404 "past404" "P3";
    /// answers a page past the last one with the last one
    PastRepeat "pastrepeat" "P3";
    /// begins each page after the first one a record early
    OffByOne "offbyone" "P4";
    /// takes a page or a pageSize that is no number from 1 for the usual one
    LaxPage "laxpage" "P5";
    /// puts at most 100 records on a page
    Max100 "max100" "P6";
    /// answers 400 to each page after the second one
    Deep "deep" "P7";
    /// counts pages from 0
    Pages0 "pages0" "P8";
    /// invents accounts without an end
    Endless "endless" "P9";
    /// excludes the bound of the filter
    Exclusive "exclusive" "F1";
    /// ignores the filter
    IgnoreFrom "ignorefrom" "F2";
    /// compares only the day of the filter
    Day "day" "F3";
    /// reads the bound of the filter in a zone five hours behind UTC
    Zone5 "tz5" "F4";
    /// answers 400 to a bound in the future
    NoFuture "nofuture" "F5";
    /// lists nothing from a bound before 2000
    NoEpoch "noepoch" "F6";
    /// answers 400 to a bound that is not in whole seconds with Z
    OnlyZulu "onlyzulu" "F7";
    /// filters transactions by createdAt
    FilterByCreation "filterbycreation" "F8";
    /// ignores a bound that is no date
    LaxFrom "laxfrom" "F9";
    /// answers each request with a filter with an empty page
    Hides "hides" "F10";
    /// has a transaction with an empty id
    BlankId "blankid" "R1";
    /// has a transaction without a date
    NoDate "nodate" "R2";
    /// has two transactions with one id
    DuplicateId "dupid" "R3";
    /// has a transaction dated tomorrow
    Future "future" "R4";
    /// has an amount that is a number
    Numeric "numeric" "R5";
    /// has a currency that is no asset
    BadAsset "badasset" "R6";
    /// has EUR with three decimals
    Decimals "decimals" "R6";
    /// has a type that the API does not know
    BadType "badtype" "R7";
    /// has metadata that is no text
    BadMetadata "badmetadata" "R8";
    /// has a transaction that changed before it was made
    Backwards "backwards" "R9";
    /// has a transaction of an account that is not listed
    Dangling "dangling" "R10";
    /// writes "status" as "Status"
    OtherCase "othercase" "R12";
    /// writes Latin-1
    Latin1 "latin1" "R12";
    /// has an account with # in its id
    HashId "hashid" "R13";
    /// has an element that is no object
    NoObject "noobject" "R14";
    /// has an account without balances
    NoBalances "nobalances" "B1";
    /// does not decode the ids in paths
    NoDecode "nodecode" "B2";
    /// invents the balances of unknown accounts
    Unknown200 "unknown200" "B3";
    /// answers 500 for unknown accounts
    Unknown500 "unknown500" "B3";
    /// changes amounts and not their date
    StaleAt "staleat" "B4";
    /// answers every second request for an account's balances with older ones
    Replicas "replicas" "B5";
    /// answers errors without Title and Detail
    ErrorBody "errbody" "E1";
    /// shows a stack trace in errors
    Trace "trace" "E2";
    /// answers every 15th request with 429, without Retry-After
    Busy "busy" "E3";
    /// lists one more account, created an hour before the newest, when it is asked again and again
    Late "late" "V1";
    /// moves the date of an account back when it is asked again and again
    GoBack "goback" "V2";
    /// no longer lists an account when it is asked again and again
    Vanish "vanish" "V3";
    /// changes an amount and not its date when it is asked again and again
    LateStaleAt "latestaleat" "V4";
    /// makes no payouts
    NoPayouts "nopayouts" "I1";
    /// pays again when a request is repeated
    PayAgain "payagain" "I2";
    /// ignores that a repeated request has another amount
    AnyAmount "anyamount" "I3";
    /// pays several times when equal requests come at once
    Race "race" "I4";
    /// takes the amount 0 for 1
    ZeroAmount "zeroamount" "I6";
    /// closes the connection when a request for a payout is long
    LongCut "longcut" "I7";
    /// lists payouts without relatedTransactionID
    Unrelated "unrelated" "I8";
}

/// What the answers so far mean for the next one.
#[derive(Debug, Default)]
pub(super) struct FaultMemory {
    /// The accounts whose next balances are those of the replica that lags.
    lagging: Mutex<HashSet<String>>,
    /// How many requests there were.
    requests: AtomicU64,
    /// How many balances are asked for at the moment.
    under_way: AtomicUsize,
    /// How often each path was asked for.
    asked: Mutex<HashMap<String, u64>>,
}

/// Only an observation asks so often for the same.
const OFTEN: u64 = 10;

impl FaultMemory {
    /// Counts a request. Whether there were many for the same.
    fn is_asked_often(&self, path: &str) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry(path.to_owned()).or_default();
        *count += 1;
        *count > OFTEN
    }
}

impl Fault {
    /// The fault of that name.
    pub fn from_name(name: &str) -> Option<Fault> {
        let found = Fault::ALL.iter().find(|(_, known, ..)| *known == name);
        found.map(|(fault, ..)| *fault)
    }

    /// The names of all faults, each with what it is and the check that fails.
    pub fn help() -> String {
        let lines = Fault::ALL
            .iter()
            .map(|(_, name, id, what)| format!("{name:<16} it {} ({id})", what.trim()));
        lines.collect::<Vec<_>>().join("\n")
    }
}
