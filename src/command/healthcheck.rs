use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{CommandError, Exit, print};
use crate::api::{Timestamp, span};
use crate::cli::ConfigFile;
use crate::config::Outline;
use crate::store::{self, Snapshot, SweepTimes};

/// How long to wait for each step of the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Periods in which a poll must have ended, where nothing can be asked.
const LATE_PERIODS: u32 = 3;

/// Bytes of the answer's beginning: `HTTP/1.1 200`.
const STATUS: usize = 12;

/// Asks the connector that runs whether its poll loop turns. Where it does not listen, its lock and its last poll tell.
pub(super) fn run(options: &ConfigFile) -> Result<Exit, CommandError> {
    let outline = Outline::read(&options.config)?;
    let found = match outline.listen.or(outline.observe) {
        Some(address) => {
            ask(reachable(address)).map_err(|error| format!("http://{address}/healthz: {error}"))
        }
        None => look(&outline),
    };
    print(&(found.map_err(CommandError::failed)? + "\n"));
    Ok(Exit::Done)
}

/// The address of this machine at which something is answered that is bound to all of them.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

fn ask(address: SocketAddr) -> Result<String, String> {
    let exchange = || -> std::io::Result<[u8; STATUS]> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let request =
            format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut status = [0; STATUS];
        stream.read_exact(&mut status)?;
        Ok(status)
    };
    let status =
        exchange().map_err(|error| format!("no answer: {error}; is the connector running?"))?;
    match &status[STATUS - 3..] {
        b"200" => Ok("the poll loop turns".to_owned()),
        code => Err(format!(
            "the answer is {}, not 200; its log says why",
            String::from_utf8_lossy(code)
        )),
    }
}

fn look(outline: &Outline) -> Result<String, String> {
    let directory = &outline.state_directory;
    if !store::is_locked(directory).map_err(|error| error.to_string())? {
        return Err(format!(
            "no connector has the state in {} open",
            directory.display()
        ));
    }
    let overview =
        Snapshot::open(directory).and_then(|snapshot| snapshot.overview(1, SweepTimes::default()));
    let overview = overview.map_err(|error| error.to_string())?;
    // Whatever became of it: a service that is down is no fault of the connector.
    let ended_at = overview.polls.first().and_then(|poll| poll.ended_at);
    let age = ended_at.map_or(0, |ended_at| Timestamp::now().second().since(ended_at));
    if age > (outline.polling_period * LATE_PERIODS).as_secs() {
        let age = span(age);
        return Err(format!("the last poll ended {age} ago; the log says why"));
    }
    Ok("a connector has the state open, and polls".to_owned())
}
