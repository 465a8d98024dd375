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

/// So many tiny_http servers listen on the one port, and the kernel spreads the connections over them. A single one
/// hands a connection to a thread that it takes for idle although another connection is on its way there: of sixteen
/// that open at once, some wait until another one closes (tiny_http 0.12, `TaskPool::spawn`). One that meets fewer than
/// five at once has a thread for each.
const SERVERS: usize = 64;

/// Requests that each server answers at a time.
const HANDLERS: usize = 2;

/// How long a client may leave an answer unread. Seconds and microseconds.
const SEND_TIMEOUT: TimeVal = TimeVal::new(5, 0);

/// An HTTP server for this machine only, on tiny_http. It stops when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    servers: Vec<Arc<Server>>,
    stopping: Arc<AtomicBool>,
    handlers: Vec<JoinHandle<()>>,
}

impl HttpServer {
    /// Binds, starts its threads, and returns at once. The handler answers each request, several at a time.
    pub fn start(
        address: SocketAddr,
        handler: impl Fn(Request) + Send + Sync + 'static,
    ) -> io::Result<HttpServer> {
        let (address, mut first) = match address.port() {
            // A port that is free must not be given back: somebody else may take it.
            0 => {
                let first = listen(address)?;
                (first.local_addr()?, Some(first))
            }
            // Sharing a port is not for strangers: where another service listens already, this fails.
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
                        // An error is the call to stop, or the end of accepting, which is logged by whoever misses it.
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

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for HttpServer {
    /// Stops listening, finishes the answers under way, and gives the port free.
    ///
    /// Connections that a client kept open stay open and are not answered any more: tiny_http cannot close them.
    fn drop(&mut self) {
        self.stopping.store(true, Relaxed);
        for server in &self.servers {
            (0..HANDLERS).for_each(|_| server.unblock());
        }
        for handler in self.handlers.drain(..) {
            // A panic has been reported by its own thread.
            let _ = handler.join();
        }
        self.servers.clear();
        // tiny_http closes its listening sockets from threads of its own; who starts a service anew needs the port.
        for _ in 0..1_000 {
            match TcpListener::bind(self.address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    // What a server's end wakes may be another one's thread.
                    let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
                    thread::sleep(Duration::from_millis(1));
                }
                _ => break,
            }
        }
    }
}

/// A listening socket that shares its port with others of this process.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let (family, bound) = match address {
        SocketAddr::V4(address) => (AddressFamily::Inet, SockaddrStorage::from(address)),
        SocketAddr::V6(address) => (AddressFamily::Inet6, SockaddrStorage::from(address)),
    };
    let socket = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    setsockopt(&socket, sockopt::ReusePort, &true)?;
    // Linux hands these on to the accepted sockets, which tiny_http does not give out. Without the first, every answer
    // waits for a delayed acknowledgement; without the second, a client that stops reading holds a thread.
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(&socket, sockopt::SendTimeout, &SEND_TIMEOUT)?;
    socket::bind(socket.as_raw_fd(), &bound)?;
    socket::listen(&socket, Backlog::MAXCONN)?;
    Ok(TcpListener::from(socket))
}
