//! TLS: `caFile` is trusted, and only it: authorities, and certificates of servers themselves.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::json;

use crate::support::scrape::{scrape, text_of, unix_now};
use crate::support::{Listening, OBSERVE_KEY, Place, run};

/// A server's certificate and key, and what `caFile` holds for it.
struct TestCertificate {
    certificate: rcgen::Certificate,
    key: KeyPair,
    ca_file: String,
}

/// Answers every request on a TLS connection with an empty list. Gives its address, and counts its connections.
fn serve_tls(certificate: &TestCertificate) -> (SocketAddr, Arc<AtomicUsize>) {
    let key = certificate.key.serialize_der();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_no_client_auth()
    .with_single_cert(vec![certificate.certificate.der().clone()], key)
    .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, stream) = (config.clone(), stream.unwrap());
            counted.fetch_add(1, Ordering::Relaxed);
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
    (address, connections)
}

/// A self-signed certificate for these names.
fn self_signed(names: &[&str], change: fn(&mut CertificateParams)) -> TestCertificate {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let ca_file = certificate.pem();
    TestCertificate {
        certificate,
        key,
        ca_file,
    }
}

/// What `openssl req -x509` makes: a certificate of an authority.
fn as_openssl_makes_it(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

fn as_an_authority(params: &mut CertificateParams) {
    as_openssl_makes_it(params);
    params
        .distinguished_name
        .push(DnType::CommonName, "a private authority");
}

/// A certificate that a private authority has issued, and what is in `caFile`: it, or that of the authority.
fn issued(is_trusted_itself: bool) -> TestCertificate {
    let authority = self_signed(&[], as_an_authority);
    let mut params = CertificateParams::default();
    as_an_authority(&mut params);
    let issuer = Issuer::new(params, authority.key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let ca_file = if is_trusted_itself {
        certificate.pem()
    } else {
        authority.ca_file
    };
    TestCertificate {
        certificate,
        key,
        ca_file,
    }
}

/// A server with this certificate is polled.
fn accepted(certificate: TestCertificate) {
    let (address, _) = serve_tls(&certificate);
    let endpoint = format!("https://localhost:{}", address.port());
    let place = Place::new(&endpoint, json!({ "caFile": "ca.pem" }));
    fs::write(place.path().join("ca.pem"), &certificate.ca_file).unwrap();
    place.poll_well();
}

/// A server with this certificate is not polled, and not asked again and again. The error says why.
fn not_accepted(certificate: TestCertificate, said: &[&str]) {
    let (address, connections) = serve_tls(&certificate);
    let endpoint = format!("https://localhost:{}", address.port());
    let place = Place::new(&endpoint, json!({ "caFile": "ca.pem" }));
    fs::write(place.path().join("ca.pem"), &certificate.ca_file).unwrap();
    let ran = place.poll();
    assert_eq!(ran.code, Some(1), "{ran}");
    for part in ["TLS failed"].iter().chain(said) {
        assert!(ran.stderr.contains(part), "{part:?} is not said: {ran}");
    }
    assert!(
        ran.stderr.contains(" 0 retries") && !ran.stderr.contains("tried"),
        "{ran}"
    );
    let connections = connections.load(Ordering::Relaxed);
    assert!(connections <= 3, "{connections} connections");
}

cases! { accepted;
    a_self_signed_certificate(self_signed(&["localhost"], |_| {}));
    a_self_signed_certificate_of_an_authority(self_signed(&["localhost"], as_openssl_makes_it));
    a_certificate_whose_authority_is_trusted(issued(false));
    a_certificate_that_is_trusted_itself_although_its_authority_is_unknown(issued(true));
    a_certificate_in_a_file_with_a_byte_order_mark({
        let certificate = self_signed(&["localhost"], as_openssl_makes_it);
        TestCertificate { ca_file: format!("\u{feff}{}", certificate.ca_file), ..certificate }
    });
}

cases! { not_accepted;
    a_trusted_certificate_for_another_name(
        self_signed(&["integration.example.com"], as_openssl_makes_it), &["not valid for name", "set \"endpoint\" to a name"]);
    a_trusted_certificate_that_has_expired(
        self_signed(&["localhost"], |params| {
            as_openssl_makes_it(params);
            params.not_after = date_time_ymd(2024, 1, 1);
        }),
        &["expired", "needs a new certificate"]);
    a_trusted_certificate_that_is_not_valid_yet(
        self_signed(&["localhost"], |params| {
            as_openssl_makes_it(params);
            params.not_before = date_time_ymd(2099, 1, 1);
            params.not_after = date_time_ymd(2100, 1, 1);
        }),
        &["not valid yet", "clock of this machine"]);
    a_certificate_of_an_authority_that_is_not_trusted(
        TestCertificate {
            ca_file: self_signed(&["localhost"], as_openssl_makes_it).ca_file,
            ..self_signed(&["localhost"], as_openssl_makes_it)
        },
        &["CA:TRUE", "only if \"caFile\" has it"]);
    a_certificate_that_was_renewed_under_its_name(
        TestCertificate { ca_file: self_signed(&["localhost"], |_| {}).ca_file, ..self_signed(&["localhost"], |_| {}) },
        &["\"caFile\" has another certificate of that name"]);
    a_certificate_of_an_unknown_authority(
        TestCertificate { ca_file: self_signed(&["localhost"], |_| {}).ca_file, ..issued(false) }, &["\"caFile\""]);
}

#[test]
fn a_private_authority_is_trusted_when_it_is_configured_and_not_before() {
    let certificate = self_signed(&["localhost"], |_| {});
    let (address, _) = serve_tls(&certificate);
    let endpoint = format!("https://localhost:{}", address.port());
    let place = Place::new(&endpoint, json!({}));
    let ran = place.poll();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("TLS failed") && ran.stderr.contains("caFile"),
        "{ran}"
    );
    fs::write(place.path().join("ca.pem"), &certificate.ca_file).unwrap();
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

/// Whether `check` warns of the certificate of a server.
fn warns(certificate: &TestCertificate) -> bool {
    let (address, _) = serve_tls(certificate);
    let endpoint = format!("https://localhost:{}", address.port());
    let place = Place::new(&endpoint, json!({ "caFile": "ca.pem" }));
    fs::write(place.path().join("ca.pem"), &certificate.ca_file).unwrap();
    let ran = run(place.command("check --only A5"));
    assert_eq!(ran.code, Some(0), "{ran}");
    ran.stdout.contains("warn  A5") && ran.stdout.contains("the certificate expires at 20")
}

#[test]
fn a_certificate_that_expires_soon_is_a_warning() {
    let expires_in = |days: i64| {
        let mut certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let end = end.to_string();
        let part = |range: std::ops::Range<usize>| end[range].parse::<u8>().unwrap();
        let year = end[..4].parse().unwrap();
        certificate.not_after = date_time_ymd(year, part(5..7), part(8..10));
        let key = KeyPair::generate().unwrap();
        let certificate = certificate.self_signed(&key).unwrap();
        let ca_file = certificate.pem();
        TestCertificate {
            certificate,
            key,
            ca_file,
        }
    };
    assert!(warns(&expires_in(10)));
    assert!(!warns(&expires_in(30)));
    let soon = watched(&expires_in(10));
    soon.wait_for_line("the certificate of the service expires at 20");
    assert!((8.0..=10.0).contains(&days_left(&soon)));
    let warnings = |listening: &Listening| scrape(&text_of(listening))["warnings"];
    assert_eq!(warnings(&soon), 1.0);
    let later = watched(&expires_in(30));
    assert!((28.0..=30.0).contains(&days_left(&later)));
    assert_eq!(warnings(&later), 0.0);
    assert!(!later.log().contains("expires"), "{}", later.log());
}

/// A connector after its first poll.
fn watched(certificate: &TestCertificate) -> Listening {
    let (address, _) = serve_tls(certificate);
    let endpoint = format!("https://localhost:{}", address.port());
    let keys = json!({
        "caFile": "ca.pem", "observe": "127.0.0.1:0", "observeKey": OBSERVE_KEY,
        "publish": [{ "type": "ndjson", "path": "changes.ndjson" }],
    });
    let place = Place::new(&endpoint, keys);
    fs::write(place.path().join("ca.pem"), &certificate.ca_file).unwrap();
    let listening = Listening::on(place, &[]);
    listening.wait_for_line("poll 1 complete");
    listening
}

/// In how many days the certificate expires, as the metrics say.
fn days_left(listening: &Listening) -> f64 {
    let at = scrape(&text_of(listening))["service_certificate_expiry_timestamp_seconds"];
    (at - unix_now()) / 86_400.0
}

/// A proxy that lets nothing but CONNECT pass.
fn tunnel() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || connect(stream.unwrap()));
        }
    });
    address
}

fn connect(mut client: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.strip_prefix("CONNECT ").unwrap();
    let server = TcpStream::connect(target.split(' ').next().unwrap()).unwrap();
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .unwrap();
    let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut up, &mut { server }));
    let _ = std::io::copy(&mut down, &mut client);
}

#[test]
fn tls_goes_through_the_tunnel_of_a_proxy() {
    let certificate = self_signed(&["localhost"], as_openssl_makes_it);
    let (address, _) = serve_tls(&certificate);
    let endpoint = format!("https://localhost:{}", address.port());
    let proxy = format!("http://{}", tunnel());
    let place = Place::new(&endpoint, json!({ "caFile": "ca.pem", "proxy": proxy }));
    fs::write(place.path().join("ca.pem"), &certificate.ca_file).unwrap();
    place.poll_well();
}
