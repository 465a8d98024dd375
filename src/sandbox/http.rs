use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use tiny_http::{Request, Server};

/// So many tiny_http servers share one listening socket. A single one hands a connection to a thread that it takes for
/// idle although another connection is on its way there: of sixteen connections that open at once, two or three wait
/// until another one closes (tiny_http 0.12, `TaskPool::spawn`). A server of many that meets fewer than five at once
/// has a thread for each.
const SERVERS: usize = 32;

/// Requests that each server answers at a time.
const HANDLERS: usize = 4;

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
        let listener = TcpListener::bind(address)?;
        // Linux hands these on to the accepted sockets, which tiny_http does not give out. Without the first, every
        // answer waits 40 ms for an acknowledgement; without the second, a client that stops reading holds a thread.
        setsockopt(&listener, sockopt::TcpNoDelay, &true)?;
        setsockopt(&listener, sockopt::SendTimeout, &SEND_TIMEOUT)?;
        let mut server = HttpServer {
            address: listener.local_addr()?,
            servers: Vec::new(),
            stopping: Arc::new(AtomicBool::new(false)),
            handlers: Vec::new(),
        };
        let handler = Arc::new(handler);
        for _ in 0..SERVERS {
            let one =
                Server::from_listener(listener.try_clone()?, None).map_err(io::Error::other)?;
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
        // A server that is dropped wakes its acceptor with a connection, which another one may have taken.
        for _ in 0..SERVERS * 10 {
            match TcpListener::bind(self.address) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    let _ = TcpStream::connect_timeout(&self.address, Duration::from_millis(100));
                    thread::sleep(Duration::from_millis(1));
                }
                _ => break,
            }
        }
    }
}
