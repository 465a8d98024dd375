use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::LevelFilter;

use super::{CommandError, Exit};
use crate::http::{Admission, Handler, Limits, Request, RequestHead, Responder, Response, Server};
use crate::logging;
use crate::notify::{self, Beats};
use crate::signals;
use crate::sockets::Sockets;
use crate::stop::Stop;

/// How long the last answers may take.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How long to wait for a stop at a time, where there is no watchdog.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// Answers everything with 503 and what is wrong, until stopping is requested.
///
/// If the process ended instead, systemd would start it again for whoever waits at its sockets, over and over.
pub(super) fn answer(
    sockets: Sockets,
    error: &CommandError,
    stop: &Stop,
) -> Result<Exit, CommandError> {
    log::error!("{error}");
    log::error!(
        "every request is answered with 503 until this is repaired and the unit restarted, because systemd keeps its sockets open"
    );
    let closed = Arc::new(Closed(error.to_string()));
    let start = |socket: TcpListener| Server::on(socket, Limits::default(), closed.clone());
    let sockets = [sockets.listen, sockets.observe]
        .into_iter()
        .flatten()
        .chain(sockets.others);
    let servers: Result<Vec<Server>, _> = sockets.map(start).collect();
    let mut servers = servers.map_err(CommandError::failed)?;
    notify::ready(&format!("answers 503 until it is repaired: {error}"));
    let mut beats = Beats::of_process();
    let until = |next: Option<Instant>| {
        next.map_or(LONG, |next| next.saturating_duration_since(Instant::now()))
    };
    while !stop.wait(until(beats.beat())) {}
    notify::stopping();
    for server in &mut servers {
        server.shut_down(LAST_ANSWERS);
    }
    log::info!("stopped");
    Ok(Exit::Done)
}

/// As [`answer`], for a command line that is wrong. None if there is no socket.
pub(super) fn answer_usage(problem: &str) -> Option<Exit> {
    let (sockets, _) = Sockets::take();
    if sockets.is_empty() {
        return None;
    }
    logging::start(LevelFilter::Info);
    let (_trigger, stop) = signals::handle().ok()?;
    let error = CommandError::new(Exit::Usage, problem);
    answer(sockets, &error, &stop).ok()
}

/// A door that nobody passes. It has the reason.
struct Closed(String);

impl Handler for Closed {
    fn admit(&self, _: &RequestHead, _: IpAddr) -> Result<Admission, Response> {
        Err(Response::error(503, "Service Unavailable", &self.0))
    }

    /// Never called: no request is admitted. Dropping the responder answers 500.
    fn handle(&self, _: Request, _: Responder) {}
}
