use std::io::Write;
use std::net::TcpListener;

use super::*;
use crate::http::{Admission, Responder};

struct Admits;

impl Handler for Admits {
    fn admit(&self, _: &RequestHead, _: IpAddr) -> Result<Admission, Response> {
        Ok(Admission {
            patience: Duration::MAX,
            proven: false,
            label: "",
        })
    }

    fn handle(&self, _: Request, _: Responder) {}
}

fn pair(rules: &Rules) -> (TcpStream, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let connection = Connection::new(stream, &rules.limits, Instant::now()).unwrap();
    (client, connection)
}

fn rules() -> Rules {
    Rules {
        limits: Limits::default(),
        handler: Arc::new(Admits),
        closing: false,
    }
}

#[test]
fn a_client_that_sends_and_does_not_read_fills_no_memory() {
    let rules = rules();
    let (mut client, mut connection) = pair(&rules);
    client.set_nonblocking(true).unwrap();
    let now = Instant::now();
    let requests = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let mut answers = 0;
    while connection.wants() != EpollFlags::EPOLLOUT {
        while client.write(requests.as_bytes()).is_ok() {}
        let mut next = connection.ready(&rules, now);
        while let Next::Answer { number, .. } = next {
            assert_eq!(connection.wants(), EpollFlags::empty());
            let response = Response::json(200, vec![b'x'; 10_000]);
            next = connection.answer(number, Reply::Response(response), &rules, now);
            answers += 1;
        }
        assert!(matches!(next, Next::Wait));
        assert!(connection.input.capacity() <= 2 * rules.limits.head_bytes);
    }
    assert!(answers > 10);
}

#[test]
fn an_idle_connection_has_no_buffer_and_delays_nothing() {
    let rules = rules();
    let (mut client, mut connection) = pair(&rules);
    assert!(connection.stream.nodelay().unwrap());
    let head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    client.write_all(&[b'x'; 50_000]).unwrap();
    let now = Instant::now();
    let number = loop {
        if let Next::Answer { number, request } = connection.ready(&rules, now) {
            assert_eq!(request.body.len(), 50_000);
            break number;
        }
    };
    let response = Reply::Response(Response::json(200, vec![b'x'; 5000]));
    let next = connection.answer(number, response, &rules, now);
    assert!(matches!(next, Next::Wait));
    assert_eq!(connection.wants(), EpollFlags::EPOLLIN);
    let Output { head, body, .. } = &connection.output;
    let buffers = [&connection.input, head, body];
    assert_eq!(buffers.map(Vec::capacity), [0, 0, 0]);
}

#[test]
fn a_request_that_came_while_the_machine_was_busy_is_answered_after_its_deadline() {
    let rules = rules();
    let (mut client, mut connection) = pair(&rules);
    let mut late = connection.deadline();
    client.write_all(b"GET / HT").unwrap();
    let next = connection.expire(&rules, late);
    assert!(matches!(next, Next::Wait), "{next:?}");
    client.write_all(b"TP/1.1\r\nHost: x\r\n\r\n").unwrap();
    late = connection.deadline();
    let next = connection.expire(&rules, late);
    assert!(matches!(next, Next::Answer { .. }), "{next:?}");
    let (_silent, mut connection) = pair(&rules);
    let next = connection.expire(&rules, connection.deadline());
    assert!(matches!(next, Next::Close), "{next:?}");
}
