use super::{Limits, Response};

/// How the head of a request says where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// After this many bytes; 0 if there is no body.
    Length(usize),
    /// After the last chunk.
    Chunked,
    /// After more bytes than are read.
    TooLarge,
}

impl BodyFraming {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == BodyFraming::Length(0)
    }

    /// Whether the client is to send it.
    pub fn is_wanted(self) -> bool {
        !self.is_empty() && self != BodyFraming::TooLarge
    }

    /// The most bytes that are read for it.
    pub fn most_bytes(self, limits: &Limits) -> usize {
        match self {
            BodyFraming::Length(length) => length,
            BodyFraming::TooLarge => 0,
            // Chunks of a few bytes cost as much again, and so do trailers.
            BodyFraming::Chunked => 2 * limits.body_bytes + limits.head_bytes,
        }
    }

    /// Takes the body from the beginning of what has arrived; none if more bytes are needed. The error is the answer to a
    /// body that is malformed or too large.
    pub fn take(self, input: &mut Vec<u8>, limits: &Limits) -> Result<Option<Vec<u8>>, Response> {
        let length = match self {
            BodyFraming::Length(length) => {
                let body = (input.len() >= length).then(|| input.drain(..length).collect());
                return Ok(body);
            }
            BodyFraming::Chunked => chunked_length(input, limits)?,
            BodyFraming::TooLarge => return Err(too_large(limits)),
        };
        let Some((body, length)) = length else {
            let is_full = input.len() >= self.most_bytes(limits);
            return if is_full {
                Err(too_large(limits))
            } else {
                Ok(None)
            };
        };
        input.drain(..length);
        Ok(Some(body))
    }
}

/// The answer to a body that is too large.
fn too_large(limits: &Limits) -> Response {
    let detail = format!("The body is limited to {} bytes.", limits.body_bytes);
    Response::error(413, "Content Too Large", &detail)
}

/// The body that the chunks at the beginning of `input` make up, and the bytes that they and the trailers take; none if
/// the last chunk or the end of the trailers is not there yet.
fn chunked_length(input: &[u8], limits: &Limits) -> Result<Option<(Vec<u8>, usize)>, Response> {
    let malformed = || Response::error(400, "Bad Request", "A chunk of the body is malformed.");
    let mut body = Vec::new();
    let mut read = 0;
    loop {
        let size = match httparse::parse_chunk_size(&input[read..]) {
            Ok(httparse::Status::Complete((length, size))) => {
                read += length;
                usize::try_from(size).unwrap_or(usize::MAX)
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(malformed()),
        };
        if size == 0 {
            return Ok(trailers_length(&input[read..]).map(|length| (body, read + length)));
        }
        if size > limits.body_bytes - body.len() {
            return Err(too_large(limits));
        }
        let Some(chunk) = input.get(read..read + size) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        read += size;
        match &input[read..] {
            [b'\r', b'\n', ..] => read += 2,
            [] | [b'\r'] => return Ok(None),
            _ => return Err(malformed()),
        }
    }
}

/// The bytes of the trailers, which are ignored, with the empty line at their end.
fn trailers_length(input: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    if input.starts_with(b"\r\n") {
        return Some(2);
    }
    let end = input.windows(END.len()).position(|window| window == END)?;
    Some(end + END.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> Result<Option<(String, String)>, u16> {
        let mut input = text.as_bytes().to_vec();
        let body = BodyFraming::Chunked.take(&mut input, &Limits::default());
        let read = |bytes| String::from_utf8(bytes).unwrap();
        body.map(|body| body.map(|body| (read(body), read(input))))
            .map_err(|response| response.status)
    }

    #[test]
    fn chunks_are_put_together_and_what_follows_is_left() {
        for chunks in [
            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "5;name=\"x;y\"\r\nabcde\r\n0\r\n\r\n",
            "05 \r\nabcde\r\n000\r\nTrailer: x\r\nOther: y\r\n\r\n",
        ] {
            let expected = ("abcde".to_owned(), "GET /".to_owned());
            assert_eq!(
                take(&format!("{chunks}GET /")),
                Ok(Some(expected)),
                "{chunks:?}"
            );
            for length in 0..chunks.len() {
                assert_eq!(take(&chunks[..length]), Ok(None), "{:?}", &chunks[..length]);
            }
        }
    }

    #[test]
    fn chunks_that_are_malformed_or_too_large_are_rejected() {
        for (status, chunks) in [
            (400, "x\r\n"),
            (400, "-1\r\na\r\n"),
            (400, "1\r\nab\r\n"),
            (400, "1\na\r\n"),
            (413, "10001\r\n"),
            (413, "ffffffffffffffff\r\n"),
        ] {
            assert_eq!(take(chunks), Err(status), "{chunks:?}");
        }
        let crumbs = "1\r\na\r\n".repeat(65_536);
        assert_eq!(take(&crumbs), Err(413));
    }
}
