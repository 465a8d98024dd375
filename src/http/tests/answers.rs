//! Answers that come late, raw or not at all, and the shutdown.

use super::*;

#[test]
fn an_answer_may_come_later_from_another_thread() {
    let served = serve(Limits {
        answering_threads: 1,
        ..Limits::default()
    });
    let mut clients: Vec<TestClient> = (0..3).map(|_| served.client()).collect();
    let responders: Vec<Responder> = clients
        .iter_mut()
        .map(|client| {
            client.send(&get("/later"));
            served.responder()
        })
        .collect();
    assert_eq!(
        served.client().get("/").status,
        200,
        "waiting holds no thread"
    );
    thread::spawn(move || {
        for (number, responder) in responders.into_iter().enumerate().rev() {
            let body = number.to_string().into_bytes();
            responder.answer(Response::json(202, body));
        }
    });
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.answer();
        assert_eq!((answer.status, answer.body), (202, number.to_string()));
    }
}

#[test]
fn when_patience_ends_the_client_gets_a_503_and_the_late_answer_is_dropped() {
    let served = serve(Limits::default());
    let mut client = served.client();
    let answer = client.get("/later?patience=200");
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("\r\nRetry-After: "), "{answer:?}");
    let late = served.responder();
    // The second request is under way when the first one's answer arrives.
    client.send(&get("/later"));
    let second = served.responder();
    late.answer(Response::json(200, b"first".to_vec()));
    second.answer(Response::json(200, b"second".to_vec()));
    assert_eq!(client.answer().body, "second");
    assert_eq!(client.get("/third").body, "/third");
}

#[test]
fn a_request_that_waited_too_long_for_a_thread_is_not_handled_at_all() {
    let served = serve(Limits {
        answering_threads: 1,
        connections: 2,
        ..Limits::default()
    });
    let mut blocking = served.client();
    blocking.send(&get("/block"));
    while served.script.handled.load(SeqCst) == 0 {
        thread::yield_now();
    }
    let mut client = served.client();
    assert_eq!(client.get("/?patience=50").status, 503);
    assert_eq!(client.get("/?patience=50").status, 503);
    // The queue has room for one request per connection, and it is full. The patience of this request would last.
    assert_eq!(client.get("/").status, 503);
    served.gate.send(()).unwrap();
    assert_eq!(blocking.answer().body, "unblocked");
    while client.get("/").status == 503 {
        thread::yield_now();
    }
    assert_eq!(served.script.handled.load(SeqCst), 2);
}

#[test]
fn a_handler_that_forgets_to_answer_or_panics_answers_500() {
    let served = serve(Limits::default());
    let mut client = served.client();
    for path in ["/drop", "/panic", "/admit-panics"] {
        // More requests than there are threads.
        for _ in 0..5 {
            assert_eq!(client.get(path).status, 500, "{path}");
        }
    }
    assert_eq!(client.get("/").status, 200);
}

#[test]
fn raw_bytes_are_sent_as_they_are_and_end_the_connection() {
    let served = serve(Limits::default());
    let cut_short = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"id\":";
    let too_long = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[] and more";
    let no_length = "HTTP/1.1 200 OK\r\n\r\n[]";
    let no_answer = "";
    for raw in [cut_short, too_long, no_length, no_answer, "\0\r\n\u{ff}"] {
        let mut client = served.client();
        assert_eq!(client.get("/before").status, 200);
        let length = raw.len();
        // The second request is never answered.
        client.send(&format!(
            "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{raw}{}",
            get("/after")
        ));
        let mut received = String::new();
        client.0.read_to_string(&mut received).unwrap();
        assert_eq!(received, raw);
    }
    assert_eq!(served.client().get("/").status, 200);
}

#[test]
fn an_idle_connection_is_closed_after_its_time_and_no_earlier() {
    let served = serve(Limits {
        idle_time: milliseconds(600),
        ..Limits::default()
    });
    let start = Instant::now();
    let mut silent = served.client();
    assert!(silent.is_closed());
    assert!(
        start.elapsed() >= milliseconds(550),
        "{:?}",
        start.elapsed()
    );
    let mut client = served.client();
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 200);
        thread::sleep(milliseconds(100));
    }
    let start = Instant::now();
    assert!(client.is_closed());
    assert!(
        start.elapsed() >= milliseconds(400),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn shutting_down_answers_what_is_in_flight() {
    let mut served = serve(Limits::default());
    let (mut idle, mut half_open, mut busy) = (served.proven(), served.client(), served.client());
    half_open.send("GET / HTTP/1.1\r\n");
    busy.send(&get("/later"));
    let responder = served.responder();
    let mut server = served.server.take().unwrap();
    let shutting_down = thread::spawn(move || server.shut_down(LONG));
    assert!(idle.is_closed());
    assert!(half_open.is_closed());
    while TcpStream::connect(served.address).is_ok() {
        thread::yield_now();
    }
    assert!(!shutting_down.is_finished());
    responder.answer(Response::json(200, b"done".to_vec()));
    let answer = busy.answer();
    assert_eq!(answer.body, "done");
    assert!(answer.head.contains("\r\nConnection: close\r\n"));
    assert!(busy.is_closed());
    drop(busy);
    shutting_down.join().unwrap();
}

#[test]
fn shutting_down_answers_what_came_on_an_idle_connection_before() {
    let mut served = serve(Limits::default());
    let (mut idle, mut busy) = (served.client(), served.client());
    assert_eq!(idle.get("/").status, 200);
    // Longer than a connection may be idle to stay.
    thread::sleep(milliseconds(1100));
    busy.send(&get("/admit-blocks"));
    idle.send(&get("/"));
    let mut server = served.server.take().unwrap();
    let shutting_down = thread::spawn(move || server.shut_down(LONG));
    thread::sleep(milliseconds(100));
    served.gate.send(()).unwrap();
    assert_eq!(idle.answer().status, 200);
    assert_eq!(busy.answer().status, 200);
    drop((idle, busy));
    shutting_down.join().unwrap();
}

#[test]
fn a_late_rejection_delays_neither_others_nor_the_shutdown() {
    let mut served = serve(Limits {
        answering_threads: 1,
        ..Limits::default()
    });
    let late = Duration::from_millis(200);
    let start = Instant::now();
    let mut soon = served.client();
    soon.send(&(get("/rejected-late?200") + &get("/next")));
    let mut never: Vec<TestClient> = (0..20).map(|_| served.client()).collect();
    for client in &mut never {
        client.send(&get("/rejected-late?60000"));
    }
    assert_eq!(served.client().get("/").status, 200);
    assert_eq!(soon.answer().status, 401);
    assert!(start.elapsed() >= late);
    assert_eq!(soon.answer().body, "/next");
    let start = Instant::now();
    served.server.take().unwrap().shut_down(LONG);
    assert!(start.elapsed() < LONG / 2);
    for client in &mut never {
        assert!(client.is_closed());
    }
}

#[test]
fn shutting_down_takes_no_longer_than_its_grace() {
    let mut served = serve(Limits::default());
    let mut clients: Vec<TestClient> = (0..2).map(|_| served.client()).collect();
    clients[0].send(&get("/later"));
    clients[1].send(&get("/block"));
    let _held = served.responder();
    while served.script.handled.load(SeqCst) < 2 {
        thread::yield_now();
    }
    let start = Instant::now();
    served.server.take().unwrap().shut_down(milliseconds(200));
    assert!(start.elapsed() >= milliseconds(200) && start.elapsed() < LONG / 2);
    for client in &mut clients {
        assert!(client.is_closed());
    }
}
