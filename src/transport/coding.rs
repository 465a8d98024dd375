use std::io::{self, ErrorKind, Read};

use flate2::read::MultiGzDecoder;

/// What requests accept. An answer in another coding cannot be read.
pub(super) const ACCEPTED: &str = "gzip";

/// A body, decompressed.
pub(super) enum DecodedBody<R> {
    Plain(R),
    Gzip(Box<MultiGzDecoder<R>>),
}

impl<R: Read> DecodedBody<R> {
    /// Decodes a body whose `Content-Encoding` has this value. Names have no case, and gzip has a second one.
    pub fn new(body: R, coding: &str) -> io::Result<DecodedBody<R>> {
        let names = coding.split(',').map(str::trim);
        let mut names = names.filter(|name| !matches!(*name, "") && !is(name, "identity"));
        match (names.next(), names.next()) {
            (None, _) => Ok(DecodedBody::Plain(body)),
            (Some(name), None) if is(name, "gzip") || is(name, "x-gzip") => {
                Ok(DecodedBody::Gzip(Box::new(MultiGzDecoder::new(body))))
            }
            _ => {
                let problem = format!(
                    "the body has the Content-Encoding {coding}, but only gzip was accepted"
                );
                Err(io::Error::new(ErrorKind::Unsupported, problem))
            }
        }
    }
}

fn is(name: &str, coding: &str) -> bool {
    name.eq_ignore_ascii_case(coding)
}

impl<R: Read> Read for DecodedBody<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            DecodedBody::Plain(body) => body.read(buffer),
            DecodedBody::Gzip(body) => body.read(buffer).map_err(|error| {
                // An error of the connection, such as a time-out, passes.
                if error
                    .get_ref()
                    .is_some_and(|inner| inner.is::<ureq::Error>())
                {
                    return error;
                }
                io::Error::new(error.kind(), format!("the body is not gzip: {error}"))
            }),
        }
    }
}
