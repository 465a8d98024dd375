//! Where messages are in the source. What each rule leaves out is never met alone, or names its own explanation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;

use super::source::{Literal, Source, end_of_group};
use super::words;

/// A text with fewer words says nothing by itself: what it holds is the message.
const LEAST_WORDS: usize = 3;

/// How many rules there are.
pub const KINDS: usize = RULES.len() + 1;

/// A text that a person can meet.
pub struct CollectedMessage {
    /// Its file and line.
    pub place: String,
    /// The rule that found it.
    pub kind: &'static str,
    /// What it says, as somebody would give it to `explain`.
    pub text: String,
}

/// Calls that have messages.
struct Rule {
    kind: &'static str,
    /// The code in front of the opening parenthesis, which is the end of the expression.
    call: &'static str,
    takes: Takes,
    /// Folders and files of which it says nothing, each with the reason beside it.
    not_in: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq)]
enum Takes {
    /// The first literal, which is a format or a title.
    First,
    /// Every literal, and the constants that are named.
    Every,
    /// Every literal that is a sentence: words alone are a part of one, such as "open the state" in "cannot open the state".
    Sentences,
}

/// The verdict of a check names the check, which `explain` has a page for.
const VERDICTS: &str = "src/check/";

/// The sandbox is a sample service. What it answers is as another service would answer it.
const SAMPLE: &str = "src/sandbox/";

const RULES: [Rule; 7] = [
    Rule {
        kind: "error",
        call: r"#\[error\(",
        takes: Takes::First,
        not_in: &[],
    },
    Rule {
        kind: "log",
        call: r"\b(?:error|warn)!\(",
        takes: Takes::First,
        not_in: &[],
    },
    Rule {
        kind: "command",
        call: r"\bCommandError::(?:failed|new)\(",
        takes: Takes::Every,
        not_in: &[],
    },
    Rule {
        kind: "title",
        call: r"\b(?:Response::error|unavailable)\(",
        takes: Takes::First,
        not_in: &[SAMPLE],
    },
    Rule {
        kind: "failure",
        call: r"\b(?:Err|map_err|ok_or|ok_or_else|DeliveryError::down)\(",
        takes: Takes::Sentences,
        not_in: &[VERDICTS, SAMPLE],
    },
    Rule {
        kind: "warning",
        call: r"\b(?:warnings\s*\.push|problems\s*\.add)\(",
        takes: Takes::Every,
        not_in: &[],
    },
    Rule {
        kind: "display",
        call: r"\bwrite!\(",
        takes: Takes::First,
        not_in: &[
            VERDICTS,
            SAMPLE,
            // Tables and lines that a command prints, which are no messages.
            "src/command/",
            "src/page/",
            "src/metrics/",
        ],
    },
];

/// All that is said in these is an alarm, an error, or a reason within one.
const ROOMS: [&str; 6] = [
    "src/config/",
    "src/health/words.rs",
    "src/poll/share.rs",
    "src/publish/formance/client.rs",
    "src/publish/target.rs",
    "src/transport/no_answer.rs",
];

/// The messages of the program.
pub fn collected(sources: &[Source]) -> Vec<CollectedMessage> {
    let constants = constants(sources);
    let calls = RULES.map(|rule| Regex::new(rule.call).unwrap());
    let mut collected = Vec::new();
    let mut seen = BTreeSet::new();
    for source in sources {
        for (rule, call) in RULES.iter().zip(&calls) {
            if rule.not_in.iter().any(|path| source.path.starts_with(path)) {
                continue;
            }
            for (literal, of) in of_rule(source, rule, call, &constants) {
                if seen.insert((of.path.clone(), literal.begin)) {
                    collected.extend(message(rule.kind, literal, of));
                }
            }
        }
        if ROOMS.iter().any(|room| source.path.starts_with(room)) {
            for literal in source
                .literals
                .iter()
                .filter(|literal| is_made(source, literal))
            {
                if seen.insert((source.path.clone(), literal.begin)) {
                    collected.extend(message("room", literal, source));
                }
            }
        }
    }
    collected
}

fn message(kind: &'static str, literal: &Literal, source: &Source) -> Option<CollectedMessage> {
    if is_for_programs(&literal.text) {
        return None;
    }
    let text = match kind {
        "title" => format!("Title: {}", literal.text),
        _ => literal.text.clone(),
    };
    (words(&literal.text) >= LEAST_WORDS || kind == "title").then(|| CollectedMessage {
        place: format!("{}:{}", source.path, literal.line),
        kind,
        text,
    })
}

/// Constants that are texts, by name.
type Constants<'a> = BTreeMap<String, (&'a Literal, &'a Source)>;

fn constants(sources: &[Source]) -> Constants<'_> {
    let constant = Regex::new(r"\bconst ([A-Z_]+): &(?:'static )?str =\s*").unwrap();
    let mut constants = Constants::new();
    for source in sources {
        for found in constant.captures_iter(&source.code) {
            let end = found.get(0).unwrap().end();
            let begins = |literal: &&Literal| literal.begin.abs_diff(end) < 2;
            // The code has spaces where the literal is, and the expression takes them.
            let within =
                |literal: &&Literal| (found.get(0).unwrap().start()..end).contains(&literal.begin);
            let literal = source
                .literals
                .iter()
                .find(|literal| within(literal) || begins(literal));
            if let Some(literal) = literal {
                constants.insert(found[1].to_owned(), (literal, source));
            }
        }
    }
    constants
}

fn of_rule<'a>(
    source: &'a Source,
    rule: &Rule,
    call: &Regex,
    constants: &Constants<'a>,
) -> Vec<(&'a Literal, &'a Source)> {
    static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[A-Z][A-Z_]{3,}\b").unwrap());
    let mut found = Vec::new();
    for call in call.find_iter(&source.code) {
        let range = call.end()..end_of_group(&source.code, call.end() - 1);
        let within = |literal: &&Literal| range.contains(&literal.begin);
        let literals = source.literals.iter().filter(within);
        let mut texts: Vec<_> = literals.map(|literal| (literal, source)).collect();
        if rule.takes == Takes::First {
            texts.truncate(1);
        } else {
            let names = NAME.find_iter(&source.code[range.clone()]);
            texts.extend(names.filter_map(|name| constants.get(name.as_str()).copied()));
        }
        if rule.takes == Takes::Sentences {
            texts.retain(|(literal, _)| !is_part(&literal.text));
        }
        found.extend(texts);
    }
    found
}

/// Whether a text is words alone, or goes on where another one ends.
fn is_part(text: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '\'');
    text.chars().all(is_plain) || text.starts_with([' ', ','])
}

/// Whether a text is for SQLite, or the path of a request.
fn is_for_programs(text: &str) -> bool {
    text.trim_start_matches('…').starts_with(['/', '?']) || text.starts_with("SELECT ")
}

/// Whether a literal becomes a text: it is a format, or is copied. A name is a part of one.
fn is_made(source: &Source, literal: &Literal) -> bool {
    let before = source.code[..literal.begin].trim_end();
    if is_part(&literal.text) || before.ends_with("name: format!(") {
        return false;
    }
    let after = source.code[literal.end..].trim_start();
    let is_format = before.ends_with("format!(")
        || before
            .strip_suffix("f,")
            .is_some_and(|call| call.trim_end().ends_with("write!("));
    is_format || after.starts_with(".to_owned()") || after.starts_with(".into()")
}
