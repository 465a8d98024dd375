use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;

/// A configuration or a file with a key is no longer than this. Bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Reads a text file. It is an error if it is longer than any configuration is.
pub fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MOST_BYTES {
        let problem = format!("it is longer than {MOST_BYTES} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}
