//! The source of the program, taken apart as far as its messages need it: string literals, and the code without them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

/// An expression that is compiled once, not for each file or literal.
macro_rules! expression {
    ($text:literal) => {
        LazyLock::new(|| Regex::new($text).unwrap())
    };
}

/// A file of the program.
pub struct Source {
    /// As messages about it name it.
    pub path: String,
    /// The code, byte for byte, with spaces for comments, tests and what is in literals.
    pub code: String,
    /// In the order of the file.
    pub literals: Vec<Literal>,
}

/// A string literal. Places are in bytes.
pub struct Literal {
    /// Where its first quote is.
    pub begin: usize,
    /// Behind its last one.
    pub end: usize,
    /// The number of its line.
    pub line: usize,
    /// What it says, with `…` for each place that is filled in.
    pub text: String,
}

impl Literal {
    /// Its text as the phrases of the catalogue are written.
    pub fn plain(&self) -> String {
        let text = self.text.replace(['"', '`'], "");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Source {
    /// Every file of the program but its tests, and the catalogue itself.
    pub fn all() -> Vec<Source> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut paths = Vec::new();
        files(&root, &mut paths);
        paths.sort();
        let tests = Regex::new(r"#\[cfg\(test\)\]\s*mod (\w+);").unwrap();
        let texts: Vec<(PathBuf, String)> = paths
            .into_iter()
            .map(|path| {
                let text = fs::read_to_string(&path).unwrap();
                (path, text)
            })
            .collect();
        let mut left_out = vec![root.join("messages")];
        for (path, text) in &texts {
            let folder = match path.file_name().unwrap().to_str().unwrap() {
                "mod.rs" | "lib.rs" | "main.rs" => path.parent().unwrap().to_owned(),
                _ => path.with_extension(""),
            };
            for found in tests.captures_iter(text) {
                left_out.push(folder.join(&found[1]));
                left_out.push(folder.join(format!("{}.rs", &found[1])));
            }
        }
        let is_left_out = |path: &Path| left_out.iter().any(|left| path.starts_with(left));
        texts
            .iter()
            .filter(|(path, _)| !is_left_out(path))
            .map(|(path, text)| {
                let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
                Source::read(path.display().to_string(), text)
            })
            .collect()
    }

    /// Takes a file apart.
    pub fn read(path: String, text: &str) -> Source {
        // A comment, a literal of each kind, or a character, which may be a quote.
        static TOKEN: LazyLock<Regex> = expression!(
            r##"(?s)//[^\n]*|/\*.*?\*/|b?r#"(?P<raw>.*?)"#|"(?P<text>(?:[^"\\]|\\.)*)"|'(?:[^'\\\n]|\\[^\n][^'\n]*)'"##
        );
        static TESTS: LazyLock<Regex> = expression!(r"#\[cfg\(test\)\]\s*mod \w+ \{");
        let mut code = text.as_bytes().to_vec();
        let mut literals = Vec::new();
        for found in TOKEN.captures_iter(text) {
            let whole = found.get(0).unwrap();
            let inside = found.name("text").or(found.name("raw"));
            if let Some(inside) = inside {
                literals.push(Literal {
                    begin: whole.start(),
                    end: whole.end(),
                    line: text[..whole.start()].matches('\n').count() + 1,
                    text: filled(inside.as_str()),
                });
            }
            for byte in &mut code[whole.range()] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        let mut code = String::from_utf8(code).unwrap();
        while let Some(found) = TESTS.find(&code) {
            let range = found.start()..end_of_group(&code, found.end() - 1);
            literals.retain(|literal| !range.contains(&literal.begin));
            code.replace_range(range.clone(), &" ".repeat(range.len()));
        }
        Source {
            path,
            code,
            literals,
        }
    }
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Behind the bracket that closes the one at that place.
pub fn end_of_group(code: &str, begin: usize) -> usize {
    let mut depth = 0;
    for (place, byte) in code.bytes().enumerate().skip(begin) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return place + 1;
        }
    }
    code.len()
}

/// What a format string says, with `…` for each placeholder.
fn filled(literal: &str) -> String {
    static BREAK: LazyLock<Regex> = expression!(r"\\\n\s*");
    static PLACE: LazyLock<Regex> = expression!(r"\{[^{}]*\}");
    let joined = BREAK.replace_all(literal, "");
    let text = joined.replace("\\\"", "\"").replace("\\n", " ");
    let text = text.replace("{{", "\u{1}").replace("}}", "\u{2}");
    let text = PLACE.replace_all(&text, "…");
    text.replace('\u{1}', "{").replace('\u{2}', "}")
}
