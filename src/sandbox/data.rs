use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Error;
use crate::api::{ListRequest, Page, PerStream, Record, Stream, Timestamp, escaped};

/// The records of all streams.
pub(super) struct Data {
    lists: PerStream<SampleList>,
}

impl Data {
    pub fn empty() -> Data {
        Data {
            lists: PerStream::from_fn(SampleList::empty),
        }
    }

    /// Reads `<stream>.ndjson` or `<stream>.ndjson.gz` of every stream from the directory. A missing file is an empty
    /// stream. Fails if there is no file at all, if a stream has both files, or if a line is not a valid record.
    pub fn load(directory: &Path) -> Result<Data, Error> {
        let mut data = Data::empty();
        let mut found = false;
        for stream in Stream::ALL {
            let list = data.list_mut(stream);
            let plain = directory.join(format!("{stream}.ndjson"));
            let packed = directory.join(format!("{stream}.ndjson.gz"));
            match (plain.exists(), packed.exists()) {
                (true, true) => return Err(Error::Twice(plain, packed)),
                (true, false) => list.read(&plain, BufReader::new(open(&plain)?))?,
                (false, true) => {
                    let unpacked = MultiGzDecoder::new(BufReader::new(open(&packed)?));
                    list.read(&packed, BufReader::new(unpacked))?;
                }
                (false, false) => continue,
            }
            found = true;
        }
        if !found {
            return Err(Error::NoData(directory.to_owned()));
        }
        Ok(data)
    }

    pub fn list(&self, stream: Stream) -> &SampleList {
        &self.lists[stream]
    }

    pub fn list_mut(&mut self, stream: Stream) -> &mut SampleList {
        &mut self.lists[stream]
    }

    /// The Balances object of an account; one without amounts if the data has none. None if there is no such account.
    pub fn balances(&self, account_id: &str) -> Option<String> {
        if let Some(balances) = self.list(Stream::Balances).get(account_id) {
            return Some(balances.json.to_string());
        }
        let account = self.list(Stream::Accounts).get(account_id)?;
        let balances = serde_json::json!({
            "id": format!("bal-{account_id}"),
            "accountID": account_id,
            "at": account.timestamp.to_string(),
            "balances": [],
        });
        Some(balances.to_string())
    }
}

fn open(file: &Path) -> Result<File, Error> {
    File::open(file).map_err(|reason| Error::Open {
        file: file.to_owned(),
        reason,
    })
}

/// The records of one stream, sorted by date and then by arrival.
pub(super) struct SampleList {
    stream: Stream,
    records: Vec<Record>,
    /// The index in `records` of each id.
    places: HashMap<String, usize>,
    by_date: Vec<Position>,
    /// Used for transactions only. Other streams are dated by `createdAt` anyway, or not listed.
    by_creation: Vec<Position>,
    arrivals: u64,
}

/// A record's position in the sort order, which follows the order of the fields.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    date: Timestamp,
    arrival: u64,
    place: usize,
}

impl SampleList {
    fn empty(stream: Stream) -> SampleList {
        SampleList {
            stream,
            records: Vec::new(),
            places: HashMap::new(),
            by_date: Vec::new(),
            by_creation: Vec::new(),
            arrivals: 0,
        }
    }

    pub fn get(&self, id: &str) -> Option<&Record> {
        self.records.get(*self.places.get(id)?)
    }

    /// Every record, oldest date first.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.by_date
            .iter()
            .map(|position| &self.records[position.place])
    }

    /// The JSON array of one page, each record as it was loaded.
    pub fn page(&self, asked: &ListRequest) -> String {
        let other_order = asked.by_creation && self.stream == Stream::Transactions;
        let (order, begin) = match (other_order, asked.from) {
            (true, _) => (&self.by_creation, 0),
            (false, None) => (&self.by_date, 0),
            (false, Some(from)) => (
                &self.by_date,
                self.by_date
                    .partition_point(|position| position.date < from),
            ),
        };
        let records = order[begin..]
            .iter()
            .map(|position| &self.records[position.place])
            .filter(|record| {
                !other_order || asked.from.is_none_or(|from| record.timestamp >= from)
            });
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let skipped = size((asked.page - 1).saturating_mul(asked.page_size));
        let length = size(asked.page_size);
        if asked.newest_first {
            array(records.rev().skip(skipped).take(length))
        } else {
            array(records.skip(skipped).take(length))
        }
    }

    /// Adds a record, or replaces the one with the same id.
    pub fn put(&mut self, json: &str) -> Result<(), String> {
        let (record, created) = read(self.stream, json)?;
        match self.places.get(&*record.id) {
            Some(&place) => {
                self.by_date.retain(|position| position.place != place);
                self.by_creation.retain(|position| position.place != place);
                self.place(place, &record, created);
                self.records[place] = record;
            }
            None => self.push(record, created),
        }
        self.sort();
        Ok(())
    }

    /// Reads NDJSON and skips blank lines. Errors name `file`.
    pub fn read(&mut self, file: &Path, lines: impl BufRead) -> Result<(), Error> {
        for (number, line) in (1..).zip(lines.lines()) {
            let failed = |problem: String| Error::Data {
                file: PathBuf::from(file),
                line: number,
                problem,
            };
            let line = line.map_err(|error| failed(error.to_string()))?;
            let json = line.trim();
            if json.is_empty() {
                continue;
            }
            let (record, created) = read(self.stream, json).map_err(failed)?;
            if self.places.contains_key(&*record.id) {
                let (field, id) = (self.stream.key_field(), escaped(&record.id));
                return Err(failed(format!(
                    "an earlier line has the same {field}, {id:?}"
                )));
            }
            self.push(record, created);
        }
        self.sort();
        Ok(())
    }

    fn push(&mut self, record: Record, created: Timestamp) {
        let place = self.records.len();
        self.places.insert(record.id.to_string(), place);
        self.place(place, &record, created);
        self.records.push(record);
    }

    fn place(&mut self, place: usize, record: &Record, created: Timestamp) {
        let arrival = self.arrivals;
        self.arrivals = arrival.saturating_add(1);
        let position = |date| Position {
            date,
            arrival,
            place,
        };
        self.by_date.push(position(record.timestamp));
        if self.stream == Stream::Transactions {
            self.by_creation.push(position(created));
        }
    }

    fn sort(&mut self) {
        // The stable sort needs one pass if only the last element is out of order.
        self.by_date.sort();
        self.by_creation.sort();
    }
}

fn array<'a>(records: impl Iterator<Item = &'a Record>) -> String {
    let mut body = String::from("[");
    for record in records {
        if body.len() > 1 {
            body.push(',');
        }
        body.push_str(&record.json);
    }
    body.push(']');
    body
}

/// Reads a record and its creation date.
fn read(stream: Stream, json: &str) -> Result<(Record, Timestamp), String> {
    #[derive(Deserialize)]
    struct CreationDate {
        #[serde(rename = "createdAt")]
        created_at: String,
    }
    // For a broken line, this error has the right column. An error of `Page::read` counts the added bracket.
    serde_json::from_str::<&RawValue>(json)
        .map_err(|error| format!("it is not one JSON object: {error}"))?;
    let page =
        Page::read(stream, format!("[{json}]").as_bytes()).map_err(|error| error.to_string())?;
    if let Some(unusable) = page.unusable.into_iter().next() {
        return Err(unusable.reason);
    }
    let record = page.records.into_iter().next().ok_or("it is empty")?;
    if stream != Stream::Transactions {
        let created = record.timestamp;
        return Ok((record, created));
    }
    let created: CreationDate = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let created = Timestamp::parse(&created.created_at)
        .map_err(|invalid| format!("\"createdAt\": {invalid}"))?;
    Ok((record, created))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::Sandbox;
    use super::super::tests::{directory, get, settings};
    use crate::api::{balances_path, balances_record};

    fn packed(text: &str) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn a_directory_is_served_verbatim() {
        let odd = r#"{ "id":"a/b?c#d%e f+é", "accountName":"x",  "createdAt":"2024-05-01T12:00:00+02:00", "extra":1.10 }"#;
        let plain = r#"{"id":"plain","accountName":"y","createdAt":"2024-05-01T10:00:00Z"}"#;
        let balances =
            r#"{"id":"b","accountID":"a/b?c#d%e f+é","at":"2024-05-01T12:00:00Z","balances":[ ]}"#;
        // Two members of one gzip file, as `cat` makes them.
        let accounts = [
            packed(&format!("\n{odd}\n")),
            packed(&format!("  \r\n{plain}")),
        ]
        .concat();
        let directory = directory(&[
            ("accounts.ndjson.gz", &accounts),
            ("balances.ndjson", balances.as_bytes()),
        ]);
        let sandbox = Sandbox::start(settings(Some(directory.path()))).unwrap();
        assert_eq!(get(&sandbox, "/accounts").body, format!("[{odd},{plain}]"));
        assert_eq!(
            get(&sandbox, &balances_path("a/b?c#d%e f+é")).body,
            balances
        );
        let none = get(&sandbox, "/accounts/plain/balances").body;
        assert!(
            balances_record("plain", none.as_bytes()).unwrap().is_ok(),
            "{none}"
        );
        assert_eq!(get(&sandbox, "/transactions").body, "[]");
    }

    #[test]
    fn an_error_names_the_file_and_the_line() {
        let good = r#"{"id":"a","amount":"1","currency":"JPY","createdAt":"2024-05-01T12:00:00Z","updatedAt":"2024-05-01T12:00:00Z"}"#;
        let error = |files: &[(&str, &[u8])]| {
            let directory = directory(files);
            let started = Sandbox::start(settings(Some(directory.path())));
            started.map(|_| ()).unwrap_err().to_string()
        };
        for (bad, problem) in [
            ("{\"id\":", "EOF"),
            ("[]", "not an object"),
            ("{},{}", "trailing characters"),
            (good, "same id, \"a\""),
            (
                r#"{"id":"b","createdAt":"2024-05-01T12:00:00Z"}"#,
                "\"updatedAt\" is missing",
            ),
            (
                r#"{"id":"b","updatedAt":"2024-05-01T12:00:00Z"}"#,
                "createdAt",
            ),
            (
                r#"{"id":"b","createdAt":"x","updatedAt":"2024-05-01T12:00:00Z"}"#,
                "\"createdAt\": \"x\"",
            ),
        ] {
            let text = format!("{good}\n\n{bad}\n");
            let said = error(&[("transactions.ndjson", text.as_bytes())]);
            assert!(
                said.contains("line 3 of ") && said.contains("transactions.ndjson"),
                "{said}"
            );
            assert!(said.contains(problem), "{said}");
        }
        assert!(error(&[("accounts.ndjson", b"\xff")]).contains("line 1 of "));
        assert!(error(&[("accounts.ndjson.gz", b"no gzip")]).contains("line 1 of "));
        assert!(error(&[("other.txt", b"")]).contains("nothing to serve"));
        assert!(
            error(&[("accounts.ndjson", b""), ("accounts.ndjson.gz", b"")]).contains("remove one")
        );
        assert!(error(&[]).contains("nothing to serve"));
    }
}
