//! Clients that are slow, silent, broken or greedy.

use super::*;

#[test]
fn a_thousand_silent_and_a_thousand_half_open_connections_hold_nobody_up() {
    let served = serve(Limits {
        connections: 2048,
        head_time: LONG,
        ..Limits::default()
    });
    // The server has raised the limit. The clients are in the same process.
    let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    assert!(
        descriptors >= 5000,
        "the hard limit on open files is too low for this test"
    );
    let mut good = served.client();
    assert_eq!(good.get("/").status, 200);
    let mut crowd: Vec<TestClient> = (0..2000).map(|_| served.client()).collect();
    for half_open in &mut crowd[1000..] {
        half_open.send("GET / HTTP/1.1\r\nHost: x\r\nX: ");
    }
    let start = Instant::now();
    for _ in 0..20 {
        assert_eq!(good.get("/").status, 200);
        assert_eq!(served.client().get("/").status, 200);
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    for half_open in &mut crowd[1000..] {
        half_open.send("x\r\n\r\n");
    }
    for client in &mut crowd[1000..] {
        assert_eq!(client.answer().status, 200);
    }
    for client in &mut crowd[..1000] {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn many_connections_at_once_are_accepted_by_a_busy_server() {
    let served = serve(Limits::default());
    let mut first = served.client();
    first.send(&get("/admit-blocks"));
    // With std's backlog of 128, the next client would retry after a second.
    let waiting: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect_timeout(&served.address, milliseconds(800)).unwrap())
        .collect();
    served.gate.send(()).unwrap();
    assert_eq!(first.answer().status, 200);
    assert_eq!(served.client().get("/").status, 200);
    drop(waiting);
}

/// Sends a byte every 10 ms until there is an answer.
fn drip(client: &mut TestClient, byte: &str) -> (Duration, RawAnswer) {
    client.0.set_nonblocking(true).unwrap();
    let start = Instant::now();
    while client.0.peek(&mut [0]).is_err() {
        client.send(byte);
        thread::sleep(milliseconds(10));
        assert!(start.elapsed() < LONG);
    }
    client.0.set_nonblocking(false).unwrap();
    (start.elapsed(), client.answer())
}

#[test]
fn a_head_and_a_body_that_trickle_in_are_cut_at_the_deadline() {
    let served = serve(Limits {
        head_time: milliseconds(300),
        body_time: milliseconds(300),
        ..Limits::default()
    });
    for beginning in [
        "GET / HTTP/1.1\r\nHost: x\r\nX: ",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n",
    ] {
        let mut client = served.client();
        client.send(beginning);
        let (time, answer) = drip(&mut client, "x");
        assert_eq!(answer.status, 408, "{beginning}");
        assert!(time >= milliseconds(250), "{time:?}");
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_does_not_read_its_answer_is_cut_while_others_are_served() {
    let served = serve(Limits {
        write_time: milliseconds(300),
        answering_threads: 1,
        ..Limits::default()
    });
    let size = 30_000_000;
    let mut lazy: Vec<TestClient> = (0..5).map(|_| served.client()).collect();
    for client in &mut lazy {
        client.send(&get(&format!("/big?{size}")));
    }
    let mut good = served.client();
    let start = Instant::now();
    while start.elapsed() < milliseconds(1500) {
        assert_eq!(good.get("/").status, 200);
    }
    assert_eq!(
        good.get(&format!("/big?{size}")).body.len(),
        size,
        "a large answer is allowed"
    );
    for client in &mut lazy {
        let mut received = Vec::new();
        let _ = client.0.read_to_end(&mut received);
        assert!(received.starts_with(b"HTTP/1.1 200") && received.len() < size);
    }
}

#[test]
fn thousands_of_requests_sent_without_reading_are_answered_in_order() {
    let served = serve(Limits::default());
    let mut client = served.client();
    let mut sender = client.0.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let all: String = (0..20_000)
            .map(|number| get(&format!("/{number}")))
            .collect();
        sender.write_all(all.as_bytes()).unwrap();
    });
    // Reads nothing until the server has stopped reading as well. What it buffers is limited.
    let mut before = usize::MAX;
    while served.script.handled.load(SeqCst) != before {
        before = served.script.handled.load(SeqCst);
        thread::sleep(milliseconds(100));
    }
    for number in 0..20_000 {
        assert_eq!(client.answer().body, format!("/{number}"));
    }
    sending.join().unwrap();
}

#[test]
fn connections_may_be_reset_at_any_moment() {
    let served = serve(Limits::default());
    for round in 0..600 {
        let mut client = served.client();
        match round % 4 {
            0 => {}
            1 => client.send("GET / HT"),
            2 => client.send(&get("/")),
            _ => client.send(&get("/big?1000000")),
        }
        client.reset();
    }
    assert_eq!(served.client().get("/").status, 200);
}

#[test]
fn a_client_that_leaves_before_its_answer_frees_its_place() {
    let served = serve(Limits {
        connections: 1,
        ..Limits::default()
    });
    let mut client = served.proven();
    client.send(&get("/later"));
    let responder = served.responder();
    let mut rejected = served.client();
    assert!(
        rejected.is_closed(),
        "nobody makes room while all are being answered"
    );
    client.reset();
    let start = Instant::now();
    loop {
        let mut next = served.client();
        if next.0.write_all(get("/").as_bytes()).is_ok() && next.try_answer().is_ok() {
            break;
        }
        // It must not take until the handler's patience ends.
        assert!(start.elapsed() < LONG / 2);
    }
    responder.answer(Response::json(200, Vec::new()));
}
