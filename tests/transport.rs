//! What servers, gateways and proxies do to a connection that HTTP allows, and what requests may not look like.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::support::{KEY, Place, TestAnswer, TestRequest, TestServer, transaction};

/// The body of a service with one account and one transaction.
fn body(path: &str) -> Vec<u8> {
    let is_first = path.contains("page=1&");
    let path = path.split(['?']).next().unwrap();
    let body = match path {
        "/accounts" if is_first => {
            json!([{ "id": "acc-1", "accountName": "A", "createdAt": "2024-01-01T00:00:00Z" }])
        }
        "/transactions" if is_first => json!([transaction("tx-1", "2024-02-01T00:00:00Z")]),
        "/accounts/acc-1/balances" => {
            json!({ "id": "b", "accountID": "acc-1", "at": "2024-03-01T00:00:00Z", "balances": [] })
        }
        _ => json!([]),
    };
    body.to_string().into_bytes()
}

/// Everything of that service has been read.
fn is_read(place: &Place) {
    let ran = place.poll_well();
    assert!(ran.stderr.contains(" 0 retries"), "{ran}");
    let counts = place.counts();
    assert_eq!(
        (
            counts["accounts"],
            counts["balances"],
            counts["transactions"]
        ),
        (1, 1, 1),
        "{ran}"
    );
}

/// A server that treats each connection in this way. It ends with the test's process.
fn serve(converse: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let converse = Arc::new(converse);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let converse = converse.clone();
            std::thread::spawn(move || converse(stream.unwrap()));
        }
    });
    url
}

/// The path of the next request. None if the client has left.
fn asked(mut stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    Some(head.split(' ').nth(1).unwrap().to_owned())
}

/// A request on a pooled connection that gets no answer belongs on a new one, at once, and is no retry.
fn closed_by_the_server(resets: bool) {
    let unanswered = Arc::new(AtomicUsize::new(0));
    let counted = unanswered.clone();
    let url = serve(move |mut stream| {
        let Some(path) = asked(&stream) else {
            return;
        };
        let body = body(&path);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream
            .write_all(&[head.as_bytes(), &body].concat())
            .unwrap();
        // Of the second request on this connection, some bytes are left unread if it is to be reset.
        let second = if resets {
            stream.read(&mut [0]).is_ok_and(|read| read > 0)
        } else {
            asked(&stream).is_some()
        };
        counted.fetch_add(usize::from(second), Ordering::Relaxed);
    });
    is_read(&Place::new(&url, json!({ "workers": 2 })));
    assert!(
        unanswered.load(Ordering::Relaxed) > 0,
        "no connection was used twice"
    );
}

cases! { closed_by_the_server;
    a_pooled_connection_that_the_server_closes(false);
    a_pooled_connection_that_the_server_resets(true);
}

/// Every request of a service is answered with its body in these chunks.
fn in_chunks(chunks: fn(&[u8]) -> Vec<u8>) {
    let url = serve(move |mut stream| {
        while let Some(path) = asked(&stream) {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            let answer = [head, chunks(&body(&path))].concat();
            // In pieces, so that extensions are cut, too.
            for piece in answer.chunks(7) {
                stream.write_all(piece).unwrap();
            }
        }
    });
    is_read(&Place::new(&url, json!({})));
}

/// One chunk with this behind its size.
fn chunk(bytes: &[u8], extension: &str) -> Vec<u8> {
    let size = format!("{:X}{extension}\r\n", bytes.len());
    [size.as_bytes(), bytes, b"\r\n"].concat()
}

cases! { in_chunks;
    a_chunk_with_a_long_extension(
        |body| [chunk(body, &format!(";signature={}", "0123456789abcdef".repeat(20))), b"0\r\n\r\n".to_vec()].concat());
    chunks_of_one_byte_with_extensions(
        |body| body.chunks(1).flat_map(|byte| chunk(byte, " ; name = \"a quoted value\"")).chain(*b"0;last=yes-it-is-the-last\r\n\r\n")
            .collect());
    chunks_with_a_trailer(
        |body| [chunk(body, ";x"), b"0\r\nDigest: a;b=ccccccccccccccccccccccccccccc\r\n\r\n".to_vec()].concat());
}

/// The service names the coding of its answers like this.
fn in_coding(name: &'static str, compresses: bool) {
    let server = TestServer::start(move |request| {
        let mut body = body(&request.path);
        if compresses {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&body).unwrap();
            body = encoder.finish().unwrap();
        }
        TestAnswer::new(200, body).with("Content-Encoding", name)
    });
    is_read(&Place::new(&server.url(), json!({})));
}

cases! { in_coding;
    gzip("gzip", true);
    gzip_in_capitals("GZIP", true);
    gzip_in_its_old_name("x-gzip", true);
    gzip_in_its_old_name_in_capitals("X-GZip", true);
    gzip_and_nothing("identity, gzip", true);
    no_coding("Identity", false);
    an_empty_coding("", false);
}

#[test]
fn a_coding_that_was_not_asked_for_is_named() {
    let server = TestServer::start(|request| {
        TestAnswer::new(200, body(&request.path)).with("Content-Encoding", "br")
    });
    let ran = Place::new(&server.url(), json!({})).poll();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr
            .contains("Content-Encoding br, but only gzip was accepted"),
        "{ran}"
    );
}

#[test]
fn a_request_without_tls_goes_to_the_proxy_in_absolute_form() {
    // As Squid does: CONNECT is for TLS only.
    let proxy = TestServer::start(|request: &TestRequest| {
        let Some(path) = request
            .path
            .strip_prefix("http://integration.internal:8000")
        else {
            return TestAnswer::new(403, "");
        };
        let credentials = request.header("Proxy-Authorization");
        if credentials != Some("Basic dXNlcjpwYXNzLXdvcmQ=") {
            return TestAnswer::new(407, "");
        }
        assert_eq!(request.header("Host"), Some("integration.internal:8000"));
        assert_eq!(
            request.header("Authorization"),
            Some(&*format!("Bearer {KEY}"))
        );
        TestAnswer::new(200, body(path))
    });
    let with_credentials = proxy.url().replace("://", "://user:pass-word@");
    let endpoint = "http://integration.internal:8000";
    is_read(&Place::new(endpoint, json!({ "proxy": with_credentials })));
    let ran = Place::new(endpoint, json!({ "proxy": proxy.url() })).poll();
    assert!(ran.stderr.contains("answered 407"), "{ran}");
}

/// What is too long to be sent says so, once, and is not tried again.
#[test]
fn a_long_key_is_sent_and_a_long_url_is_named() {
    let key = "k".repeat(16_000);
    let expected = format!("Bearer {key}");
    // Each character takes twelve bytes in a URL.
    let id = "\u{1f4b6}".repeat(1_000);
    let accounts = json!([{ "id": id, "accountName": "A", "createdAt": "2024-01-01T00:00:00Z" }]);
    let balances =
        json!({ "id": "b", "accountID": id, "at": "2024-03-01T00:00:00Z", "balances": [] });
    let server = TestServer::start(move |request| {
        if request.header("Authorization") != Some(&expected) {
            return TestAnswer::new(401, "");
        }
        let body = match &*request.path {
            path if path.contains("/accounts?page=1&") => accounts.to_string(),
            path if path.contains("/balances") => balances.to_string(),
            _ => "[]".to_owned(),
        };
        TestAnswer::new(200, body)
    });
    let place = Place::new(&server.url(), json!({ "apiKey": key }));
    place.poll_well();
    assert_eq!(place.ids("balances").len(), 1);

    let endpoint = format!("{}/{}", server.url(), "x".repeat(6_000));
    let place = Place::new(&endpoint, json!({ "apiKey": key }));
    let ran = place.poll();
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(
        ran.stderr
            .contains("the request was not sent: its URL has 18")
            && ran.stderr.contains(" 0 retries")
            && !ran.stderr.contains("tried"),
        "{}",
        &ran.stderr[..2_000.min(ran.stderr.len())]
    );
}
