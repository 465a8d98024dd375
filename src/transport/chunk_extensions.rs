//! Extensions of chunks, which ureq does not read when they are longer than a few bytes.

/// Bytes. An extension that is longer is no extension, and ureq refuses it.
const LONGEST_EXTENSION: usize = 16 * 1024;

/// Bytes of a line in the head of an answer that are looked at. The header in question is shorter.
const LONGEST_LINE: usize = 256;

/// Takes the extensions of chunks out of the bytes of one answer, as they come in.
#[derive(Debug)]
pub(super) struct ChunkExtensions {
    part: AnswerPart,
}

/// The part of the answer that the next byte belongs to.
#[derive(Debug)]
enum AnswerPart {
    /// The head, in a line that begins like this. `first`: it is the status line.
    Head {
        line: Vec<u8>,
        first: bool,
        interim: bool,
        chunked: bool,
    },
    /// The size of a chunk, as far as it has been read.
    Size(u64),
    /// An extension of a chunk of this size, and its bytes that have been read.
    Extension { size: u64, read: usize },
    /// Bytes of a chunk that are still to come.
    Data(u64),
    /// The line end behind a chunk.
    DataEnd,
    /// What has no chunks.
    Rest,
}

impl ChunkExtensions {
    /// At the beginning of an answer.
    pub fn new() -> ChunkExtensions {
        ChunkExtensions {
            part: AnswerPart::head(),
        }
    }

    /// The next bytes of the answer without extensions. None if they have none, as nearly always.
    pub fn taken_out(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut kept: Option<Vec<u8>> = None;
        let mut read = 0;
        while let Some((first, _)) = bytes[read..].split_first() {
            let (length, keeps) = self.step(*first, &bytes[read..]);
            let piece = &bytes[read..read + length];
            match (&mut kept, keeps) {
                (Some(kept), true) => kept.extend_from_slice(piece),
                (None, false) => kept = Some(bytes[..read].to_vec()),
                (Some(_), false) | (None, true) => {}
            }
            read += length;
        }
        kept
    }

    /// Takes the bytes that belong together, at least the first one. How many they are, and whether they are kept.
    fn step(&mut self, first: u8, bytes: &[u8]) -> (usize, bool) {
        match &mut self.part {
            AnswerPart::Head { line, .. } => {
                if first != b'\n' {
                    if line.len() < LONGEST_LINE {
                        line.push(first);
                    }
                } else {
                    self.part.end_line();
                }
                (1, true)
            }
            AnswerPart::Size(size) => {
                let size = *size;
                if let Some(digit) = char::from(first).to_digit(16) {
                    self.part =
                        AnswerPart::Size(size.saturating_mul(16).saturating_add(digit.into()));
                } else if first == b';' {
                    self.part = AnswerPart::Extension { size, read: 1 };
                    return (1, false);
                } else if first == b'\n' {
                    self.part = match size {
                        0 => AnswerPart::Rest,
                        size => AnswerPart::Data(size),
                    };
                }
                (1, true)
            }
            AnswerPart::Extension { size, read } => {
                *read += 1;
                let keeps = *read > LONGEST_EXTENSION;
                if matches!(first, b'\r' | b'\n') {
                    self.part = AnswerPart::Size(*size);
                    return self.step(first, bytes);
                }
                (1, keeps)
            }
            AnswerPart::Data(left) => {
                let length = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                *left -= length as u64;
                if *left == 0 {
                    self.part = AnswerPart::DataEnd;
                }
                (length, true)
            }
            AnswerPart::DataEnd => {
                if first == b'\n' {
                    self.part = AnswerPart::Size(0);
                }
                (1, true)
            }
            AnswerPart::Rest => (bytes.len(), true),
        }
    }
}

impl AnswerPart {
    fn head() -> AnswerPart {
        AnswerPart::Head {
            line: Vec::new(),
            first: true,
            interim: false,
            chunked: false,
        }
    }

    /// A line of the head has ended.
    fn end_line(&mut self) {
        let AnswerPart::Head {
            line,
            first,
            interim,
            chunked,
        } = self
        else {
            return;
        };
        let text = String::from_utf8_lossy(line).trim().to_ascii_lowercase();
        if *first {
            *interim = text
                .split(' ')
                .nth(1)
                .is_some_and(|status| status.starts_with('1'));
        } else if text.is_empty() {
            *self = match (*interim, *chunked) {
                (true, _) => AnswerPart::head(),
                (false, true) => AnswerPart::Size(0),
                (false, false) => AnswerPart::Rest,
            };
            return;
        } else if let Some(value) = text.strip_prefix("transfer-encoding:") {
            *chunked |= value.split(',').any(|coding| coding.trim() == "chunked");
        }
        *first = false;
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n";

    fn taken_out(answer: &str, pieces: &[usize]) -> String {
        let mut extensions = ChunkExtensions::new();
        let mut rest = answer.as_bytes();
        let mut out = Vec::new();
        for length in pieces.iter().chain([&usize::MAX]) {
            let (now, later) = rest.split_at(rest.len().min(*length));
            out.extend(extensions.taken_out(now).unwrap_or(now.to_vec()));
            rest = later;
        }
        String::from_utf8(out).unwrap()
    }

    proptest! {
        /// However the answer is cut into pieces, exactly its extensions are gone.
        #[test]
        fn only_extensions_are_taken_out(
            chunks in prop::collection::vec(("[;\r\na0]{1,40}", "(;[ -~]{0,60})?", " {0,2}"), 0..8),
            pieces in prop::collection::vec(1usize..30, 0..40),
            interim: bool,
        ) {
            let head = format!("{}{HEAD}", if interim { "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" } else { "" });
            let (mut with, mut without) = (head.clone(), head);
            for (data, extension, space) in &chunks {
                with += &format!("{:x}{space}{extension}\r\n{data}\r\n", data.len());
                without += &format!("{:x}{space}\r\n{data}\r\n", data.len());
            }
            with += "0;last\r\nTrailer: a;b\r\n\r\n";
            without += "0\r\nTrailer: a;b\r\n\r\n";
            prop_assert_eq!(taken_out(&with, &pieces), without);
        }
    }

    #[test]
    fn a_body_without_chunks_stays_as_it_is() {
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n5;x\r\n;y\r\n",
            "HTTP/1.1 200 OK\r\n\r\n5;x\r\n",
            "no HTTP at all",
        ] {
            assert_eq!(ChunkExtensions::new().taken_out(answer.as_bytes()), None);
        }
    }

    #[test]
    fn an_extension_has_an_end() {
        let endless = format!("{HEAD}5;{}", "x".repeat(2 * LONGEST_EXTENSION));
        let left = taken_out(&endless, &[]);
        assert!(left.len() > LONGEST_EXTENSION, "ureq refuses what is left");
    }
}
