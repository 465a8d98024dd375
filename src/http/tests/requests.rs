//! Valid requests, and bytes that are rejected.

use super::*;

fn get_with(headers: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

fn post_with(headers: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

/// Each request is answered with the status and a reason, then the connection ends. The handler gets none of them.
fn assert_rejected(requests: &[(u16, String)]) {
    let served = serve(Limits::default());
    for (status, request) in requests {
        let mut client = served.client();
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status, *status, "{request:?}: {answer:?}");
        assert!(
            answer.head.contains("\r\nConnection: close\r\n"),
            "{request:?}"
        );
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(
            body["Title"].is_string() && body["Detail"].is_string(),
            "{request:?}"
        );
        assert!(client.is_closed(), "{request:?}");
    }
    assert_eq!(served.script.handled.load(SeqCst), 0);
}

#[test]
fn a_bad_request_line_is_rejected() {
    let with_line = |line: &str| format!("{line}\r\nHost: x\r\n\r\n");
    let long = "x".repeat(9000);
    assert_rejected(&[
        (505, with_line("GET / HTTP/2.0")),
        (505, with_line("GET / HTTP/1.2")),
        (400, with_line("OPTIONS * HTTP/1.1")),
        (400, with_line("GET ftp://x/ HTTP/1.1")),
        (400, with_line("CONNECT x:1 HTTP/1.1")),
        (431, with_line(&format!("GET /{long} HTTP/1.1"))),
        (400, "GET / HTTP/1.1\nHost: x\n\n".to_owned()),
        (400, with_line("G(T / HTTP/1.1")),
        (400, "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned()),
    ]);
}

#[test]
fn a_bad_body_length_is_rejected() {
    let requests = [
        (400, "Content-Length: 1\r\nTransfer-Encoding: chunked"),
        (400, "Transfer-Encoding: chunked\r\nContent-Length: 1"),
        (501, "Transfer-Encoding: gzip, chunked"),
        (501, "Transfer-Encoding: gzip"),
        (
            501,
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ),
        (400, "Content-Length: 1\r\nContent-Length: 1"),
        (400, "Content-Length: 1\r\nContent-Length: 2"),
        (400, "Content-Length: 1, 1"),
        (400, "Content-Length: +1"),
        (400, "Content-Length: -1"),
        (400, "Content-Length: 0x1"),
        (400, "Content-Length: 1 1"),
        (400, "Content-Length: abc"),
        (400, "Content-Length:"),
        (413, "Content-Length: 65537"),
        (413, "Content-Length: 9999999999999999"),
        (413, "Content-Length: 99999999999999999999999999"),
        (417, "Content-Length: 1\r\nExpect: 200-ok"),
        (417, "Content-Length: 1\r\nExpect: 100-continue, x"),
    ];
    let with = |(status, headers)| (status, post_with(&format!("{headers}\r\n")));
    assert_rejected(&requests.map(with));
}

#[test]
fn a_bad_header_is_rejected() {
    let long = "x".repeat(9000);
    let many = (0..65).fold(String::new(), |mut headers, number| {
        write!(headers, "X-{number}: x\r\n").unwrap();
        headers
    });
    assert_rejected(&[
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, get_with("Host: x\r\n")),
        (400, get_with("Host: y\r\n").replace("1.1", "1.0")),
        (431, get_with(&format!("X: {long}\r\n"))),
        (431, format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}")),
        (431, get_with(&many)),
        (400, get_with("A b: c\r\n")),
        (400, "GET / HTTP/1.1\r\nHost : x\r\n\r\n".to_owned()),
        (400, get_with(" folded\r\n")),
        (400, get_with("A: b\0c\r\n")),
        (400, get_with("A: b\rc\r\n")),
        (400, get_with("A: b\nC: d\r\n")),
        (400, post_with("Authorization: a\r\nAuthorization: a\r\n")),
    ]);
}

#[test]
fn a_rejected_client_can_read_why_although_it_sent_more_than_was_read() {
    let served = serve(Limits::default());
    for head in [
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n",
        "POST /rejected HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n",
    ] {
        let mut client = served.client();
        client.send(head);
        // More than the sockets' buffers hold: the write succeeds only if the server reads.
        client.send(&"x".repeat(30_000_000));
        let answer = client.answer();
        assert!(matches!(answer.status, 413 | 401), "{answer:?}");
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_lingers_after_its_last_answer_is_cut() {
    let served = serve(Limits {
        linger_time: milliseconds(200),
        ..Limits::default()
    });
    let mut client = served.client();
    client.send("nonsense\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert!(client.is_closed());
    let start = Instant::now();
    while client.0.write_all(b"x").is_ok() {
        thread::sleep(milliseconds(10));
        assert!(start.elapsed() < LONG);
    }
    assert!(start.elapsed() > milliseconds(100));
}

#[test]
fn a_connection_answers_one_request_after_another() {
    let served = serve(Limits::default());
    let mut client = served.client();
    assert_eq!(client.get("/one").body, "/one");
    let answer = client.get("/two?query");
    assert_eq!((answer.status, answer.body.as_str()), (200, "/two"));
    assert!(!answer.head.contains("Connection"), "{answer:?}");
    assert!(answer.head.contains("\r\nDate: "), "{answer:?}");
    client.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234");
    client.send("56789GET /three HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().body, "0123456789");
    assert_eq!(client.answer().body, "/three");
    let whole = "x".repeat(65_536);
    client.send(&format!(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 65536\r\n\r\n{whole}"
    ));
    assert_eq!(client.answer().body, whole);
    client.send("HEAD /four HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.head().unwrap().contains("\r\nContent-Length: 5\r\n"));
    assert_eq!(client.get("/rejected").status, 401);
    assert_eq!(
        client.get("/five").status,
        200,
        "a rejected request without a body does not end the connection"
    );
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert!(
        client
            .answer()
            .head
            .contains("\r\nConnection: keep-alive\r\n")
    );
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.answer().head.contains("\r\nConnection: close\r\n"));
    assert!(client.is_closed());
}

#[test]
fn a_body_may_come_in_chunks() {
    let served = serve(Limits::default());
    let mut client = served.client();
    let chunked = post_with("Transfer-Encoding: Chunked\r\n");
    client.send(&format!("{chunked}5\r\n01234\r\n5;x"));
    client.send(&format!(
        "\r\n56789\r\n0\r\nTrailer: x\r\n\r\n{}",
        get("/next")
    ));
    assert_eq!(client.answer().body, "0123456789");
    assert_eq!(client.answer().body, "/next");
    for (status, chunks) in [(400, "x\r\n"), (413, "10001\r\n")] {
        let mut client = served.client();
        client.send(&format!("{chunked}{chunks}"));
        assert_eq!(client.answer().status, status);
        assert!(client.is_closed());
    }
}

#[test]
fn an_answer_is_compressed_for_a_client_that_reads_gzip() {
    let served = serve(Limits::default());
    let mut client = served.client();
    for (path, headers, compressed) in [
        ("/big?5000", "Accept-Encoding: gzip\r\n", true),
        ("/big?5000", "", false),
        ("/big?500", "Accept-Encoding: gzip\r\n", false),
    ] {
        client.send(&get_with(headers).replace("GET /", &format!("GET {path}")));
        let head = client.head().unwrap();
        let length = head.split_once("Content-Length: ").unwrap().1;
        let mut body = vec![0; length.split_once('\r').unwrap().0.parse().unwrap()];
        client.0.read_exact(&mut body).unwrap();
        assert_eq!(
            head.contains("\r\nContent-Encoding: gzip\r\n"),
            compressed,
            "{head}"
        );
        if compressed {
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(&*body);
            decoder.read_to_string(&mut text).unwrap();
            assert_eq!(text, "x".repeat(5_000));
        }
    }
}

#[test]
fn a_target_may_be_a_url() {
    let served = serve(Limits::default());
    let mut client = served.client();
    assert_eq!(client.get("http://x/one?query").body, "/one");
}

#[test]
fn a_client_that_has_finished_sending_is_answered() {
    let served = serve(Limits::default());
    let mut client = served.client();
    client.send(&get("/later"));
    client.0.shutdown(Shutdown::Write).unwrap();
    served
        .responder()
        .answer(Response::json(200, b"late".to_vec()));
    assert_eq!(client.answer().body, "late");
    assert!(client.is_closed());
}

#[test]
fn a_body_is_asked_for_only_when_its_request_is_admitted() {
    let served = serve(Limits::default());
    let mut client = served.client();
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n"
        )
    };
    client.send(&head("/echo"));
    assert_eq!(client.head().unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert_eq!(client.answer().body, "body");
    client.send(&head("/rejected"));
    assert_eq!(client.answer().status, 401);
    assert!(client.is_closed());
}
