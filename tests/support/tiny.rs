//! An HTTP server on tiny_http, for the fake Integration Service.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{
    self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt,
};
use nix::sys::time::TimeVal;
use tiny_http::{Request, Server};

/// Number of tiny_http servers that listen on the one port. The kernel spreads the connections over them. A single
/// server may queue a connection behind another one although threads are idle (tiny_http 0.12, `TaskPool::spawn`): of 16
/// connections that open at once, some wait until another one closes. Below five at once, each has a thread.
const SERVERS: usize = 64;

/// Number of requests that each server answers at a time.
const HANDLERS: usize = 2;

/// How long a write may wait for the client. Seconds and microseconds.
const SEND_TIMEOUT: TimeVal = TimeVal::new(5, 0);

/// A running server. It stops when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    servers: Vec<Arc<Server>>,
    stopping: Arc<AtomicBool>,
    handlers: Vec<JoinHandle<()>>,
}

impl HttpServer {
    /// Binds, starts the threads, and returns at once. Several threads run the handler.
    pub fn start(
        address: SocketAddr,
        handler: impl Fn(Request) + Send + Sync + 'static,
    ) -> io::Result<HttpServer> {
        let (address, mut first) = match address.port() {
            // Keep the listener: another process could take the port.
            0 => {
                let first = listen(address)?;
                (first.local_addr()?, Some(first))
            }
            // With SO_REUSEPORT alone, this would succeed beside another server on the port.
            _ => (TcpListener::bind(address)?.local_addr()?, None),
        };
        let mut server = HttpServer {
            address,
            servers: Vec::new(),
            stopping: Arc::new(AtomicBool::new(false)),
            handlers: Vec::new(),
        };
        let handler = Arc::new(handler);
        for _ in 0..SERVERS {
            let listener = first.take().map_or_else(|| listen(address), Ok)?;
            let one = Server::from_listener(listener, None).map_err(io::Error::other)?;
            let one = Arc::new(one);
            server.servers.push(one.clone());
            for _ in 0..HANDLERS {
                let (one, handler, stopping) =
                    (one.clone(), handler.clone(), server.stopping.clone());
                let answer = move || {
                    while !stopping.load(Relaxed) {
                        // An error is a call of `unblock`, or the end of accepting.
                        if let Ok(request) = one.recv() {
                            handler(request);
                        }
                    }
                };
                server.handlers.push(
                    thread::Builder::new()
                        .name("sandbox".to_owned())
                        .spawn(answer)?,
                );
            }
        }
        Ok(server)
    }

    /// The address it listens on, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    /// Stops listening, finishes the answers under way, and frees the port.
    ///
    /// Connections that clients keep open stay open without answers: tiny_http cannot close them.
    fn drop(&mut self) {
        self.stopping.store(true, Relaxed);
        for server in &self.servers {
            (0..HANDLERS).for_each(|_| server.unblock());
        }
        for handler in self.handlers.drain(..) {
            // A panic has already been printed.
            let _ = handler.join();
        }
        self.servers.clear();
        // tiny_http closes its listening sockets on threads of its own. A restarted service needs the port.
        for _ in 0..1_000 {
            match TcpListener::bind(self.address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    // The connection that tiny_http makes to wake its own thread may wake another server's.
                    let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
                    thread::sleep(Duration::from_millis(1));
                }
                _ => break,
            }
        }
    }
}

/// A listening socket that shares its port with others.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let (family, bound) = match address {
        SocketAddr::V4(address) => (AddressFamily::Inet, SockaddrStorage::from(address)),
        SocketAddr::V6(address) => (AddressFamily::Inet6, SockaddrStorage::from(address)),
    };
    let socket = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    // Accepted sockets inherit these on Linux, and tiny_http does not expose them. Without the first, every answer waits
    // for a delayed acknowledgement. Without the second, a client that stops reading blocks a thread.
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(&socket, sockopt::SendTimeout, &SEND_TIMEOUT)?;
    socket::bind(socket.as_raw_fd(), &bound)?;
    socket::listen(&socket, Backlog::MAXCONN)?;
    Ok(TcpListener::from(socket))
}
