use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

/// What a [`RawServer`] does with a connection.
#[derive(Clone)]
pub enum Send {
    /// Reads a request's head, sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends these bytes without reading, and then nothing until the test ends.
    Stall(Vec<u8>),
    /// Closes without reading, so that the client meets a reset or an end.
    Nothing,
}

/// A server on which HTTP can be broken at any byte.
pub struct RawServer {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl RawServer {
    pub fn start(send: Send) -> RawServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stopping = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let (stop, count) = (stopping.clone(), connections.clone());
        let thread = thread::spawn(move || {
            let mut stalled = Vec::new();
            for stream in listener.incoming() {
                if stop.load(SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                count.fetch_add(1, SeqCst);
                match &send {
                    Send::Nothing => {}
                    Send::Bytes(bytes) => {
                        read_head(&mut stream);
                        let _ = stream.write_all(bytes);
                    }
                    Send::Stall(bytes) => {
                        let _ = stream.write_all(bytes);
                        stalled.push(stream);
                    }
                }
            }
        });
        RawServer {
            address,
            stopping,
            connections,
            thread: Some(thread),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections met so far.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.stopping.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().unwrap().join();
    }
}

fn read_head(stream: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        head.push(byte[0]);
    }
}
