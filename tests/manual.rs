//! The manual pages in `packaging/man` say what the program does: every key, command and exit code is there.

use std::fs;

use generic_connector::{ConfigKey, ENTRY_KEYS, FILE_KEYS, MESSAGE_GROUPS, MessageEntry};
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/man");

/// What the page about the configuration says before its keys.
const ABOUT_FILE: &str = r#".TH GENERIC\-CONNECTOR.JSON 5 "" "generic\-connector" "File Formats"
.SH NAME
generic\-connector.json \- the configuration of generic\-connector
.SH DESCRIPTION
One JSON object, in \fI/etc/generic\-connector/generic.json\fR unless \fB\-\-config\fR names another file.
Relative paths start at the folder of that file.
Durations are written as in Go: \fB500ms\fR, \fB30s\fR, \fB2m\fR, \fB1h30m0s\fR.
An unknown key, a key given twice or a bad value ends the program with exit code 78 and a message that names the key, the
value and the fix.
The configuration of Formance's own \fBgeneric\fR connector works unchanged.
.PP
Files with secrets must not be readable by others.
They are read again when a key is refused.
.SH EXAMPLE
.EX
{
  "name": "acme\-bank",
  "endpoint": "https://integration.example.com",
  "pollingPeriod": "2m",
  "listen": "127.0.0.1:8080",
  "publish": [
    { "type": "http", "url": "https://warehouse.example.com/changes", "apiKeyFile": "warehouse.key" },
    { "type": "ndjson", "path": "/var/lib/generic\-connector/changes.ndjson" }
  ]
}
.EE
"#;

/// Where the messages are in the page about the program: behind the first line that begins so, up to the second one.
const MESSAGES: [&str; 2] = [".\\\" Messages: ", ".\\\" End of the messages."];

/// The text of a page, with what stands between backticks in bold.
fn text(plain: &str) -> String {
    let escaped = plain
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('…', "...");
    let parts: Vec<&str> = escaped.split('`').collect();
    let set = |(index, part): (usize, &&str)| match index % 2 {
        0 => (*part).to_owned(),
        _ => format!("\\fB{part}\\fR"),
    };
    parts.iter().enumerate().map(set).collect()
}

fn entry(key: &ConfigKey) -> String {
    let (name, facts, about) = (text(key.name), text(&key.facts()), text(key.about));
    format!(".TP\n.B {name}\n{about}\n.br\n({facts})\n")
}

fn page_about_file() -> String {
    let keys = |keys: &[ConfigKey]| keys.iter().map(entry).collect::<String>();
    let (file, entries) = (keys(FILE_KEYS), keys(ENTRY_KEYS));
    format!(
        "{ABOUT_FILE}.SH KEYS\n{file}.SH KEYS OF A TARGET\nEach entry of \\fBpublish\\fR is an object.\n{entries}\
         .SH SEE ALSO\n\\fBgeneric\\-connector\\fR(8)\n"
    )
}

#[test]
fn the_page_about_the_configuration_has_every_key() {
    let path = format!("{FOLDER}/generic-connector.json.5");
    let expected = Data::read_from(path.as_ref(), Some(DataFormat::Text));
    let assert = Assert::new().action_env("SNAPSHOTS");
    assert.eq(page_about_file(), expected.raw());
}

/// A message: its phrases one below the other, then a line for each sentence.
fn message(entry: &MessageEntry) -> String {
    let phrase = |phrase: &&str| format!("\\fB{}\\fR\n", text(phrase));
    let phrases: Vec<String> = entry.phrases.iter().map(phrase).collect();
    let lines = format!("{} {}", text(entry.means), text(entry.fix)).replace(". ", ".\n");
    format!(".TP\n{}{lines}\n", phrases.join(".TQ\n"))
}

#[test]
fn the_system_page_has_every_message() {
    let path = format!("{FOLDER}/generic-connector.8");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(MESSAGES[0]).unwrap();
    let (first, rest) = rest.split_once('\n').unwrap();
    let (_, after) = rest.split_once(MESSAGES[1]).unwrap();
    let group = |name: &str, entries: &[MessageEntry]| {
        let entries: String = entries.iter().map(message).collect();
        format!(".SS {}\n{entries}", text(name))
    };
    let groups = MESSAGE_GROUPS.iter();
    let groups: String = groups.map(|of| group(of.name, of.entries)).collect();
    let [begin, end] = MESSAGES;
    let expected = format!("{before}{begin}{first}\n{groups}{end}{after}");
    let page = Data::read_from(path.as_ref(), Some(DataFormat::Text));
    let assert = Assert::new().action_env("SNAPSHOTS");
    assert.eq(expected, page.raw());
}

#[test]
fn the_system_page_has_every_command_and_exit_code() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_generic-connector"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let page = fs::read_to_string(format!("{FOLDER}/generic-connector.8")).unwrap();
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, rest) = commands.split_once("\n\n").unwrap();
    let (_, codes) = rest.split_once("Exit codes:\n").unwrap();
    for line in commands.lines().filter(|line| !line.contains("help ")) {
        let (name, about) = line.trim().split_once("  ").unwrap();
        let (first, others) = about.trim().split_at(1);
        let name = name.replace('-', "\\-");
        let entry = format!(".TP\n\\fB{name}\\fR\n{}{others}\n", first.to_lowercase());
        assert!(page.contains(&entry), "{entry}");
    }
    for line in codes.lines().filter(|line| !line.is_empty()) {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        let entry = format!(".TP\n{code}\n");
        let (_, found) = page.split_once(&entry).unwrap_or_default();
        let found = found.lines().next().unwrap_or_default();
        let words = meaning.split(':').next().unwrap();
        assert!(found.starts_with(words), "{code}: {meaning}, not {found}");
    }
}
