//! TLS: `caFile` is trusted, and only it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use serde_json::json;

use crate::support::Place;

/// Answers every request on a TLS connection with an empty list. Gives its address and its certificate.
fn serve_tls() -> (SocketAddr, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = certified.cert.pem();
    let key =
        rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certified.cert.der().clone()], key)
    .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, stream) = (config.clone(), stream.unwrap());
            std::thread::spawn(move || {
                let mut tls = rustls::StreamOwned::new(
                    rustls::ServerConnection::new(config).unwrap(),
                    stream,
                );
                let mut buffer = [0; 4096];
                while tls.read(&mut buffer).is_ok_and(|read| read > 0) {
                    let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
                }
            });
        }
    });
    (address, pem)
}

#[test]
fn a_private_authority_is_trusted_when_it_is_configured_and_not_before() {
    let (address, pem) = serve_tls();
    let endpoint = format!("https://localhost:{}", address.port());
    let place = Place::new(&endpoint, json!({}));
    let ran = place.poll();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("TLS failed") && ran.stderr.contains("caFile"),
        "{ran}"
    );
    fs::write(place.path().join("ca.pem"), pem).unwrap();
    place.configure(&endpoint, json!({ "caFile": "ca.pem" }));
    place.poll_well();
    fs::write(place.path().join("ca.pem"), "no certificate").unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(78), "{ran}");
    assert!(
        ran.stderr.contains("\"caFile\"") && ran.stderr.contains("no certificate"),
        "{ran}"
    );
}
