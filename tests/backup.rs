//! Copies of the state: whose are removed, what an interrupted one leaves, and what is said of one that cannot be put back.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::support::{FakePsp, KEY, Place, Ran, STATE_FILE, run};

/// A connector that has polled once.
fn polled(service: &FakePsp, name: &str) -> Place {
    let place = Place::new(&service.url(), json!({ "name": name }));
    place.poll_well();
    place
}

fn backup(place: &Place, to: &Path, options: &str) -> Ran {
    run(place.command(&format!("backup --to {}{options}", to.display())))
}

/// Makes a backup, and says where it is.
fn backed_up(place: &Place, to: &Path, options: &str) -> PathBuf {
    let ran = backup(place, to, options);
    assert_eq!(ran.code, Some(0), "{ran}");
    let (file, size) = ran.stdout.split_once(": ").unwrap();
    assert!(!size.starts_with("0 KB"), "{ran}");
    assert!(fs::metadata(file).unwrap().len() > 0, "{ran}");
    file.into()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The name went by the date alone: one connector removed and replaced the copies of another one.
#[test]
fn connectors_with_one_directory_leave_each_other_their_copies() {
    let service = FakePsp::with_a_bank();
    let (acme, beta) = (polled(&service, "acme"), polled(&service, "beta"));
    let folder = acme.path().join("backups");
    let of_acme = backed_up(&acme, &folder, "");
    let bytes = fs::read(&of_acme).unwrap();
    // Copies as older versions named them.
    let older = |year: &str| folder.join(format!("state-{year}0101T000000Z.sqlite3"));
    fs::copy(&of_acme, older("2020")).unwrap();
    let of_beta = backed_up(&beta, &folder, "");
    assert_ne!(of_acme, of_beta);
    fs::copy(&of_beta, older("2021")).unwrap();
    let newest = backed_up(&beta, &folder, " --keep 1");
    assert_eq!(fs::read(&of_acme).unwrap(), bytes);
    assert!(older("2020").exists() && newest.exists());
    assert!(!older("2021").exists() && !of_beta.exists());
    assert_eq!(names(&folder).len(), 3);
    // It can be put back.
    let ran = run(acme.command(&format!("restore {}", of_acme.display())));
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn no_file_is_replaced_or_removed_that_is_not_a_copy_of_this_state() {
    let service = FakePsp::with_a_bank();
    let place = polled(&service, "acme");
    let folder = place.path().join("backups");
    fs::create_dir(&folder).unwrap();
    // Whenever it is made in the next minutes, its name is taken.
    let clock = rusqlite::Connection::open_in_memory().unwrap();
    let date = "SELECT strftime('%Y%m%dT%H%M%SZ', 'now', ?1)";
    let taken: Vec<PathBuf> = (0..300)
        .map(|second| {
            let after = format!("+{second} seconds");
            let date: String = clock.query_row(date, [after], |row| row.get(0)).unwrap();
            folder.join(format!("state-{date}.sqlite3"))
        })
        .collect();
    for file in &taken {
        fs::write(file, "x").unwrap();
    }
    let made = backed_up(&place, &folder, " --keep 1");
    assert!(made.to_string_lossy().ends_with("Z-2.sqlite3"), "{made:?}");
    for file in &taken {
        assert_eq!(fs::read(file).unwrap(), b"x", "{}", file.display());
    }
    let ran = backup(&place, &folder, " --keep 1");
    let says = format!("{} stays: ", taken[299].display());
    assert!(ran.stderr.contains(&says), "{ran}");
    assert_eq!(names(&folder).len(), 301);
}

/// Every new copy was the oldest by its date, and removed at once.
#[test]
fn a_clock_that_was_ahead_does_not_cost_the_copy_that_is_made() {
    let service = FakePsp::with_a_bank();
    let place = polled(&service, "acme");
    let folder = place.path().join("backups");
    let first = backed_up(&place, &folder, "");
    let ahead = |day: usize| folder.join(format!("state-2130010{day}T000000Z.sqlite3"));
    for day in 1..=7 {
        fs::copy(&first, ahead(day)).unwrap();
    }
    let ran = backup(&place, &folder, "");
    assert!(ran.stdout.contains("; 2 older ones removed"), "{ran}");
    let made = Path::new(ran.stdout.split_once(": ").unwrap().0);
    assert!(made.exists() && first.exists(), "{ran}");
    assert!(!ahead(2).exists() && ahead(3).exists(), "{ran}");
    assert_eq!(names(&folder).len(), 7);
}

#[test]
fn the_next_backup_removes_what_an_interrupted_one_left() {
    let service = FakePsp::with_a_bank();
    let place = polled(&service, "acme");
    let folder = place.path().join("backups");
    let mut interrupted = place.command(&format!("backup --to {}", folder.display()));
    interrupted.env("GENERIC_CONNECTOR_CRASH_AT", "1");
    assert_eq!(run(interrupted).code, None);
    let left = names(&folder);
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left[0].starts_with(".state-"), "{left:?}");
    fs::write(folder.join(format!("{}-journal", left[0])), "x").unwrap();
    // Of an older version, or of another connector: one is still being made, as far as anybody can know.
    let day = Duration::from_secs(86_400);
    for (name, age) in [
        (".state-20261001T000000Z.new", 2 * day),
        (".state-20261001T000000Z.new-journal", 2 * day),
        (".state-20261002T000000Z.new", day / 2),
        (".other.new", 2 * day),
    ] {
        fs::write(folder.join(name), "x").unwrap();
        let file = File::options().append(true).open(folder.join(name));
        let modified = SystemTime::now() - age;
        file.unwrap().set_modified(modified).unwrap();
    }
    let made = backed_up(&place, &folder, "");
    let made = made.file_name().unwrap().to_str().unwrap();
    let expected = [".other.new", ".state-20261002T000000Z.new", made];
    assert_eq!(names(&folder), expected);
}

#[test]
fn one_backup_of_a_state_is_made_at_a_time() {
    let service = FakePsp::with_a_bank();
    let place = polled(&service, "acme");
    let folder = place.path().join("backups");
    let other = File::open(place.state()).unwrap();
    other.lock().unwrap();
    let ran = backup(&place, &folder, "");
    assert_eq!(ran.code, Some(75), "{ran}");
    assert!(ran.stderr.contains("another backup"), "{ran}");
    drop(other);
    backed_up(&place, &folder, "");
}

#[test]
fn a_state_that_cannot_be_used_cannot_be_backed_up_either() {
    let service = FakePsp::with_a_bank();
    let place = polled(&service, "acme");
    let folder = place.path().join("backups");
    let file = place.state().join(STATE_FILE);
    let good = fs::read(&file).unwrap();
    let mut damaged = good.clone();
    damaged[6 * 4096..26 * 4096].fill(0xaa);
    let state = rusqlite::Connection::open(&file).unwrap();
    state.pragma_update(None, "user_version", 99).unwrap();
    drop(state);
    let newer = fs::read(&file).unwrap();
    for bytes in [newer, damaged] {
        fs::write(&file, bytes).unwrap();
        let ran = backup(&place, &folder, "");
        assert_eq!(ran.code, Some(65), "{ran}");
        assert!(!folder.exists() || names(&folder).is_empty(), "{ran}");
    }
}

/// As root beside the service, whose keys only the unit has.
#[test]
fn a_state_is_put_back_without_the_keys() {
    let service = FakePsp::with_a_bank();
    let place = Place::new(&service.url(), json!({ "apiKey": null }));
    let keys = place.path().join("keys");
    fs::create_dir(&keys).unwrap();
    let key = keys.join("apiKey");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(ran.stderr.contains("CREDENTIALS_DIRECTORY="), "{ran}");
    let mut poll = place.command("poll");
    poll.env("CREDENTIALS_DIRECTORY", &keys);
    let ran = run(poll);
    assert_eq!(ran.code, Some(0), "{ran}");
    let copy = backed_up(&place, &place.path().join("backups"), "");
    for command in [&*format!("restore {}", copy.display()), "restored"] {
        let ran = run(place.command(command));
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    // Whose state it is has to be known.
    place.configure(&service.url(), json!({ "name": null }));
    let ran = run(place.command("restored"));
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(ran.stderr.contains("\"name\" is missing"), "{ran}");
}

#[test]
fn a_file_that_cannot_be_put_back_is_said_to_be_the_wrong_one() {
    let place = Place::new("http://127.0.0.1:9", json!({}));
    let file = place.path().join("copy.sqlite3.gz");
    let restore = || run(place.command(&format!("restore {}", file.display())));
    let ran = restore();
    assert_eq!(ran.code, Some(1), "{ran}");
    let says = format!("there is no file {}: ", file.display());
    assert!(ran.stderr.contains(&says), "{ran}");
    assert!(!ran.stderr.contains("stateDir"), "{ran}");
    assert!(!place.state().exists(), "{ran}");
    fs::create_dir(&file).unwrap();
    let ran = restore();
    assert_eq!(ran.code, Some(65), "{ran}");
    assert!(ran.stderr.contains("(it is not a file)"), "{ran}");
    fs::remove_dir(&file).unwrap();
    for text in [
        "packed, and long enough for a header, ".repeat(20),
        String::new(),
    ] {
        fs::write(&file, text).unwrap();
        let ran = restore();
        assert_eq!(ran.code, Some(65), "{ran}");
        let says = format!("{} cannot be put back: ", file.display());
        assert!(ran.stderr.contains(&says), "{ran}");
        assert!(!place.state().join(STATE_FILE).exists(), "{ran}");
    }
}

/// The message sent the reader to the state directory, which has nothing to do with it.
#[test]
fn a_place_for_copies_that_is_a_file_is_named() {
    let service = FakePsp::with_a_bank();
    let place = polled(&service, "acme");
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let ran = backup(&place, &file, "");
    assert_eq!(ran.code, Some(1), "{ran}");
    let says = format!("cannot make the directory {}: ", file.display());
    assert!(ran.stderr.contains(&says), "{ran}");
    assert!(ran.stderr.contains("check what is there"), "{ran}");
}
