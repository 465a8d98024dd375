//! `init`: a newcomer's first minute.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{FakePsp, KEY, Ran, binary, run};

fn init(folder: &Path, options: &[&str]) -> Command {
    let mut command = binary();
    command
        .arg("init")
        .arg("--config")
        .arg(folder.join("conf/generic.json"));
    command.args(options);
    command
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The configuration and the key that were written.
fn written(folder: &Path) -> Value {
    let (config, key) = (
        folder.join("conf/generic.json"),
        folder.join("conf/keys/apiKey"),
    );
    assert_eq!((mode(&config), mode(&key)), (0o600, 0o600));
    assert_eq!(fs::read_to_string(key).unwrap(), format!("{KEY}\n"));
    serde_json::from_str(&fs::read_to_string(config).unwrap()).unwrap()
}

fn is_without_key(ran: &Ran) {
    assert!(!ran.to_string().contains(KEY), "{ran}");
}

#[test]
fn it_writes_what_it_was_given_and_asks_the_service() {
    let psp = FakePsp::with_a_bank();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let options = [
        "--name",
        "acme",
        "--endpoint",
        &psp.url(),
        "--api-key-file",
        key.to_str().unwrap(),
    ];
    let ran = run(init(folder.path(), &options));
    assert_eq!(ran.code, Some(0), "{ran}");
    is_without_key(&ran);
    let expected = json!({ "name": "acme", "endpoint": psp.url(), "apiKeyFile": "keys/apiKey" });
    assert_eq!(written(folder.path()), expected);
    assert!(
        ran.stdout.contains("pass  L1") && ran.stdout.contains("The service answers. Next: "),
        "{ran}"
    );
    let mut check = binary();
    check
        .args(["check", "--offline", "--config"])
        .arg(folder.path().join("conf/generic.json"));
    assert_eq!(run(check).code, Some(0));
    let again = run(init(folder.path(), &options));
    assert!(
        again.code == Some(1) && again.stderr.contains("exists already"),
        "{again}"
    );
}

#[test]
fn it_asks_for_what_it_was_not_given() {
    let psp = FakePsp::with_a_bank();
    let folder = tempfile::tempdir().unwrap();
    let mut command = init(folder.path(), &[]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let answers = format!("acme\n{}\n{KEY}\n", psp.url());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(answers.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("The service's API key (it is not shown): ") && !said.contains(KEY),
        "{said}"
    );
    assert_eq!(written(folder.path())["name"], "acme");
}

#[test]
fn nothing_is_written_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, KEY).unwrap();
    let key = key.to_str().unwrap();
    for (endpoint, code) in [("integration.example.com", 78), ("", 64)] {
        let ran = run(init(
            folder.path(),
            &[
                "--name",
                "acme",
                "--endpoint",
                endpoint,
                "--api-key-file",
                key,
            ],
        ));
        assert_eq!(ran.code, Some(code), "{ran}");
    }
    let ran = run(init(
        folder.path(),
        &[
            "--name",
            "acme",
            "--endpoint",
            "https://a.example",
            "--api-key-file",
            "/nowhere",
        ],
    ));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(!folder.path().join("conf").exists());
    // A service that is not there yet is no reason to ask for everything again.
    let ran = run(init(
        folder.path(),
        &[
            "--name",
            "acme",
            "--endpoint",
            "http://127.0.0.1:9",
            "--api-key-file",
            key,
        ],
    ));
    assert_eq!(ran.code, Some(1), "{ran}");
    written(folder.path());
}

#[test]
fn a_file_that_is_no_key_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let options = [
        "--name",
        "acme",
        "--endpoint",
        "http://127.0.0.1:9",
        "--api-key-file",
        "/dev/zero",
    ];
    let ran = run(init(folder.path(), &options));
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("longer than 1048576 bytes"), "{ran}");
}

/// The first one was without effect, and the second one left a terminal that shows nothing.
#[test]
fn an_interrupt_ends_a_question_and_the_terminal_shows_again_what_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let pty = openpty(None, None).unwrap();
    let mut command = init(
        folder.path(),
        &["--name", "acme", "--endpoint", "http://127.0.0.1:9"],
    );
    let terminal = pty.slave.try_clone().unwrap();
    command.stdin(Stdio::from(pty.slave)).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut said = Vec::new();
    while !said.ends_with(b"(it is not shown): ") {
        let mut byte = [0];
        stderr.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
    let shows = || {
        tcgetattr(&terminal)
            .unwrap()
            .local_flags
            .contains(LocalFlags::ECHO)
    };
    assert!(!shows());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    stderr.read_to_end(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains("interrupted; nothing was written"), "{said}");
    assert!(shows());
}

/// systemd reads the key for the service, and the service reads the configuration as a user of its own.
#[test]
fn the_user_of_the_service_can_read_what_is_written_under_a_strict_umask() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, KEY).unwrap();
    let program = binary().get_program().to_owned();
    // Its own /etc. Where that cannot be had, this does nothing.
    let script = "
        mount -t tmpfs none /etc && echo mounted || exit
        umask 027
        for config in /etc/generic-connector/generic.json /etc/generic-connector/instances/acme/generic.json; do
            \"$1\" init --config $config --name acme --endpoint http://127.0.0.1:9 --api-key-file \"$2\" >/dev/null
        done
        cd /etc/generic-connector && find . -exec stat -c '%a %n' {} +";
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--map-root-user", "sh", "-c", script, "sh"]);
    let Ok(output) = unshare.arg(program).arg(&key).output() else {
        return;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let Some(listed) = said.strip_prefix("mounted\n") else {
        return;
    };
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    let expected = [
        "600 ./instances/acme/keys/apiKey",
        "600 ./keys/apiKey",
        "644 ./generic.json",
        "644 ./instances/acme/generic.json",
        "700 ./instances/acme/keys",
        "700 ./keys",
        "755 .",
        "755 ./instances",
        "755 ./instances/acme",
    ];
    assert_eq!(
        listed,
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
