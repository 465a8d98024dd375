//! Answers that come late, or not at all, and the end.

use super::*;

#[test]
fn an_answer_may_come_later_from_another_thread() {
    let served = serve(Limits {
        answering_threads: 1,
        ..Limits::default()
    });
    let mut clients: Vec<Client> = (0..3).map(|_| served.client()).collect();
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
fn when_patience_ends_the_client_is_told_to_come_again_and_the_late_answer_is_dropped() {
    let served = serve(Limits::default());
    let mut client = served.client();
    let answer = client.get("/later?patience=200");
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("\r\nRetry-After: "), "{answer:?}");
    let late = served.responder();
    // The second request is being answered when the first one's answer arrives.
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
    // The queue has room for one request a connection, and they stand in it. This one's patience would last.
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
        // More often than there are threads.
        for _ in 0..5 {
            assert_eq!(client.get(path).status, 500, "{path}");
        }
    }
    assert_eq!(client.get("/").status, 200);
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
    let server = served.server.take().unwrap();
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
fn shutting_down_takes_no_longer_than_its_grace() {
    let mut served = serve(Limits::default());
    let mut clients: Vec<Client> = (0..2).map(|_| served.client()).collect();
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
