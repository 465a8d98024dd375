//! Which connections are closed when there are too many.

use super::*;

#[test]
fn connections_that_have_shown_the_key_stay_when_there_are_too_many() {
    let served = serve(Limits {
        connections: 4,
        ..Limits::default()
    });
    let mut first_proven = served.proven();
    let mut second_proven = served.proven();
    let mut idle = served.client();
    assert_eq!(idle.get("/").status, 200);
    let mut waiting = served.client();
    waiting.send(&get("/later"));
    let responder = served.responder();
    // The oldest connection without the key goes, although the proven ones are older. Then the flood displaces itself.
    let mut flood: Vec<TestClient> = Vec::new();
    for _ in 0..20 {
        let mut client = served.client();
        client.send("GET / HTT");
        flood.push(client);
    }
    assert!(idle.is_closed());
    for client in &mut flood[..19] {
        assert!(!matches!(client.0.read(&mut [0]), Ok(1..)));
    }
    assert_eq!(first_proven.get("/").status, 200);
    assert_eq!(second_proven.get("/").status, 200);
    responder.answer(Response::json(200, Vec::new()));
    assert_eq!(waiting.answer().status, 200);
    // With four proven connections, the one that has been idle the longest goes.
    let third_proven = served.proven();
    let fourth_proven = served.proven();
    assert_eq!(first_proven.get("/").status, 200);
    let mut last = served.client();
    assert_eq!(last.get("/").status, 200);
    assert!(second_proven.is_closed());
    assert_eq!(first_proven.get("/").status, 200);
    drop((third_proven, fourth_proven));
}

/// Set in the child process of the test below. It exhausts its own file descriptors, not those of other tests.
const EXHAUSTED: &str = "GENERIC_CONNECTOR_TEST_EXHAUSTED";

#[test]
fn without_file_descriptors_the_server_waits_until_there_are_some() {
    if std::env::var_os(EXHAUSTED).is_some() {
        return exhaust_descriptors();
    }
    let name = "http::tests::room::without_file_descriptors_the_server_waits_until_there_are_some";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(EXHAUSTED, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(printed.contains("1 passed"), "{printed}");
}

fn exhaust_descriptors() {
    setrlimit(Resource::RLIMIT_NOFILE, 64, 64).unwrap();
    let served = serve(Limits::default());
    let mut proven = served.proven();
    let mut idle: Vec<TestClient> = (0..2).map(|_| served.client()).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    assert!(hoard.len() > 20);
    // Each client takes the descriptor that the server would need to accept it.
    let mut waiting = Vec::new();
    for client in &mut idle {
        drop(hoard.pop());
        waiting.push(served.client());
        assert!(
            client.is_closed(),
            "the oldest connection without the key is closed"
        );
    }
    assert_eq!(proven.get("/").status, 200);
    drop(hoard);
    for client in &mut waiting {
        assert_eq!(client.get("/").status, 200);
    }
}
