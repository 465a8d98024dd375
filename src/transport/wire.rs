use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use ureq::Error;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::chunk_extensions::ChunkExtensions;
use super::proxy::{Forwarding, Proxy};

/// Puts a [`Wire`] around each connection to the server itself.
#[derive(Debug)]
pub(super) struct WireConnector {
    pub proxy: Option<Proxy>,
    /// How many connections to the server were made.
    pub made: Arc<AtomicU64>,
}

impl<In: Transport> Connector<In> for WireConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        // A connection to a proxy is made without that proxy. What is sent to the server goes through it.
        let leads_to_proxy = self.proxy.is_some() && details.config.proxy().is_none();
        if leads_to_proxy {
            return Ok(Some(Box::new(transport)));
        }
        self.made.fetch_add(1, Relaxed);
        let is_forwarded = !details.needs_tls();
        let proxy = self.proxy.as_ref().filter(|_| is_forwarded);
        Ok(Some(Box::new(Wire {
            inner: transport,
            forwarding: proxy.and_then(|proxy| proxy.forwarding(details.uri)),
            extensions: ChunkExtensions::new(),
            exchange: Exchange::None,
            reused: false,
        })))
    }
}

/// A pooled connection was closed by the server before a byte of the answer came. The request belongs on a new one.
#[derive(Debug, thiserror::Error)]
#[error("the server closed the connection before it answered ({0})")]
pub(super) struct Stale(Error);

/// Whether this error says that the connection was a pooled one that the server had closed.
pub(super) fn is_stale(error: &Error) -> bool {
    matches!(error, Error::Other(other) if other.is::<Stale>())
}

/// A connection that services may treat in ways that ureq does not expect.
#[derive(Debug)]
struct Wire<T> {
    inner: T,
    /// How requests are written, if an HTTP proxy passes them on.
    forwarding: Option<Forwarding>,
    extensions: ChunkExtensions,
    exchange: Exchange,
    /// It has carried an exchange before this one.
    reused: bool,
}

/// How far the latest exchange has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exchange {
    None,
    /// The request is being sent, and no byte of the answer has come.
    Asked,
    Answered,
}

impl<T: Transport> Wire<T> {
    /// Sends the beginning of a request. The first line of it is in there: ureq writes it whole.
    fn begin(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.reused = self.exchange == Exchange::Answered;
        self.exchange = Exchange::Asked;
        self.extensions = ChunkExtensions::new();
        let Some(forwarding) = &self.forwarding else {
            return self.inner.transmit_output(amount, timeout);
        };
        let written = &self.inner.buffers().output()[..amount];
        let rewritten = forwarding.rewritten(written);
        let mut rest: &[u8] = &rewritten;
        while !rest.is_empty() {
            let output = self.inner.buffers().output();
            let length = rest.len().min(output.len());
            let (now, later) = rest.split_at(length);
            output[..length].copy_from_slice(now);
            self.inner.transmit_output(length, timeout)?;
            rest = later;
        }
        Ok(())
    }

    /// Waits for bytes of the answer that are not part of an extension. False if the server has closed the connection.
    fn await_answer(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let since = Instant::now();
        loop {
            let before = self.inner.buffers().input().len();
            if !self.inner.await_input(less(timeout, since))? {
                return Ok(false);
            }
            self.exchange = Exchange::Answered;
            let buffers = self.inner.buffers();
            let Some(new) = self.extensions.taken_out(&buffers.input()[before..]) else {
                return Ok(true);
            };
            let kept = [&buffers.input()[..before], &new].concat();
            buffers.input_consume(buffers.input().len());
            buffers.input_append_buf()[..kept.len()].copy_from_slice(&kept);
            buffers.input_appended(kept.len());
            if !new.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Whether no byte of the answer has come on a connection that an earlier answer came on.
    fn may_be_stale(&self) -> bool {
        self.reused && self.exchange == Exchange::Asked
    }

    fn judged<V>(&self, result: Result<V, Error>) -> Result<V, Error> {
        match result {
            Err(error) if self.may_be_stale() && is_closed(&error) => Err(stale(error)),
            other => other,
        }
    }
}

impl<T: Transport> Transport for Wire<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        let sent = match self.exchange {
            Exchange::Asked => self.inner.transmit_output(amount, timeout),
            Exchange::None | Exchange::Answered => self.begin(amount, timeout),
        };
        self.judged(sent)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let came = self.await_answer(timeout);
        match self.judged(came)? {
            false if self.may_be_stale() => {
                let closed = io::Error::new(ErrorKind::UnexpectedEof, "end of the connection");
                Err(stale(Error::Io(closed)))
            }
            came => Ok(came),
        }
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

fn stale(error: Error) -> Error {
    Error::Other(Box::new(Stale(error)))
}

/// Whether the other end has closed the connection.
fn is_closed(error: &Error) -> bool {
    matches!(error, Error::Io(error) if matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
    ))
}

/// What is left of a time-out.
fn less(timeout: NextTimeout, since: Instant) -> NextTimeout {
    let after = match timeout.after {
        Duration::Exact(after) => Duration::Exact(after.saturating_sub(since.elapsed())),
        Duration::NotHappening => Duration::NotHappening,
    };
    NextTimeout { after, ..timeout }
}
