//! What the keys say about answering Connectivity and operators.

use std::net::SocketAddr;

use super::Context;
use super::file::File;
use super::secrets::{self, SecretSource};
use crate::secret::{AcceptedKeys, Secret};
use crate::serve::{ListenSettings, ObserveSettings, Settings};

/// Characters. A shorter key can be guessed.
const SHORTEST_KEY: usize = 16;

/// Where Connectivity and operators are answered, and with which keys.
pub(super) fn check(file: &mut File, context: &mut Context) -> Result<Settings, String> {
    let listen = listen(file, context)?;
    let observe = observe(file, listen.as_ref(), context)?;
    Ok(Settings { listen, observe })
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
        // Port 0 is another free port each time.
        if listen.is_some_and(|listen| listen.address == address && address.port() != 0) {
            return Err(format!(
                "\"observe\" is {address}, as \"listen\" is: give it another port, or remove it to have everything at \
                \"listen\""
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
