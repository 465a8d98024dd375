//! What the keys say about answering Connectivity and operators.

use std::net::{IpAddr, SocketAddr};

use super::Context;
use super::file::File;
use super::problems::Problems;
use super::secrets::{self, SecretSource};
use crate::secret::{AcceptedKeys, Secret};
use crate::serve::{ListenSettings, ObserveSettings, Settings};

/// Characters. A shorter key can be guessed.
const SHORTEST_KEY: usize = 16;

/// Where Connectivity and operators are answered, and with which keys.
pub(super) fn check(file: &mut File, context: &mut Context) -> Result<Settings, String> {
    let mut problems = Problems::default();
    let has_listen = file.listen.is_some();
    let listen = problems.note(listen(file, context)).flatten();
    // What is wrong with the one may explain the other, unless that has an address of its own.
    if problems.is_empty() || (has_listen && file.observe.is_some()) {
        let observe = problems
            .note(observe(file, listen.as_ref(), context))
            .flatten();
        if problems.is_empty() {
            return Ok(Settings { listen, observe });
        }
    }
    Err(problems.text())
}

/// A key is always needed: a reverse proxy makes loopback public.
fn listen(file: &mut File, context: &mut Context) -> Result<Option<ListenSettings>, String> {
    let source = SecretSource {
        key: "listenKey",
        inline: file.listen_key.take(),
        file: file.listen_key_file.take(),
    };
    let Some(address) = file.listen else {
        return match source.given() {
            None => Ok(None),
            Some(key) => Err(format!(
                "\"{key}\" is set, but \"listen\" is not: set it to an address and a port, such as \"127.0.0.1:8080\""
            )),
        };
    };
    let keys = secrets::accept(source, |file| file.listen_key, context)?
        .ok_or_else(|| secrets::missing("listenKey"))?;
    warn_about_keys("listenKey", &keys, context);
    warn_about_address("listen", address, context);
    Ok(Some(ListenSettings { address, keys }))
}

fn observe(
    file: &mut File,
    listen: Option<&ListenSettings>,
    context: &mut Context,
) -> Result<Option<ObserveSettings>, String> {
    let source = SecretSource {
        key: "observeKey",
        inline: file.observe_key.take(),
        file: file.observe_key_file.take(),
    };
    let address = file.observe;
    if listen.is_none() && address.is_none() {
        return match source.given() {
            None => Ok(None),
            Some(key) => Err(format!(
                "\"{key}\" is set, but neither \"observe\" nor \"listen\" is: set \"observe\" to an address and a port, \
                such as \"127.0.0.1:9464\""
            )),
        };
    }
    let Some(keys) = secrets::accept(source, |file| file.observe_key, context)? else {
        return match address {
            None => Ok(None),
            Some(_) => Err(secrets::missing("observeKey")),
        };
    };
    warn_about_keys("observeKey", &keys, context);
    if let Some(listen) = listen
        && keys.share_one_with(&listen.keys)
    {
        return Err(
            "\"observeKey\" is the same as \"listenKey\", which opens payouts, too: give it a key of its own, made with: \
            openssl rand -hex 32"
                .to_owned(),
        );
    }
    if let Some(address) = address {
        if let Some(listen) = listen.filter(|listen| overlap(listen.address, address)) {
            return Err(format!(
                "\"observe\" is {address}, and \"listen\" is {}, which is the same port of the same machine: give it another \
                port, or remove it to have everything at \"listen\"",
                listen.address
            ));
        }
        warn_about_address("observe", address, context);
    }
    Ok(Some(ObserveSettings {
        address,
        keys,
        shows_records: file.observe_records.unwrap_or(true),
    }))
}

/// Whether no two can listen on these addresses at once.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    // The unspecified address of IPv6 is also that of IPv4.
    let covers = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    let shares = one_ip == other_ip || covers(one_ip, other_ip) || covers(other_ip, one_ip);
    // Port 0 is another free port each time.
    shares && one.port() == other.port() && one.port() != 0
}

fn warn_about_keys(key: &str, keys: &AcceptedKeys, context: &mut Context) {
    let is_short = |key: &Secret| key.expose().len() < SHORTEST_KEY;
    if keys.keys().iter().any(is_short) {
        context.warnings.push(format!(
            "\"{key}\" has fewer than {SHORTEST_KEY} characters and can be guessed; generate a longer one with: openssl \
            rand -hex 32"
        ));
    }
}

fn warn_about_address(key: &str, address: SocketAddr, context: &mut Context) {
    if !address.ip().is_loopback() {
        context.warnings.push(format!(
            "\"{key}\" is {address}: keys and data cross the network unencrypted unless a reverse proxy on this machine \
            speaks TLS and \"{key}\" is 127.0.0.1"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_listen_on_one_port_of_one_address() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("[::]:80", "10.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("0.0.0.0:80", "[::]:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:0", "0.0.0.0:0", false),
        ] {
            let (one, other): (SocketAddr, SocketAddr) =
                (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(overlap(one, other), expected, "{one} {other}");
            assert_eq!(overlap(other, one), expected, "{other} {one}");
        }
    }
}
