//! The sockets that systemd has opened for the program, with a socket unit. They stay open when it restarts, so that no
//! client is refused meanwhile.

use std::env;
use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;

/// Listening sockets, by the key of the configuration whose address they are.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Where Connectivity is answered.
    pub listen: Option<TcpListener>,
    /// The operators' own address.
    pub observe: Option<TcpListener>,
    /// Those whose use is not known. Somebody may wait at them all the same.
    pub others: Vec<TcpListener>,
}

impl Sockets {
    /// Takes those that this process was started with. The next call has none.
    ///
    /// Also returns a problem, if one is not a TCP socket, or its name, `FileDescriptorName=` of its unit, says nothing.
    pub fn take() -> (Sockets, Option<String>) {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names: Vec<&str> = names.split(':').collect();
        let mut passed = ListenFd::from_env();
        let mut sockets = Sockets::default();
        let mut problem = None;
        for index in 0..passed.len() {
            let name = names.get(index).copied().unwrap_or_default();
            let placed = match passed.take_tcp_listener(index) {
                Ok(socket) => socket.map_or(Ok(()), |socket| sockets.place(name, socket)),
                Err(error) => Err(format!("systemd passes the socket \"{name}\": {error}")),
            };
            problem = problem.or(placed.err());
        }
        (sockets, problem)
    }

    fn place(&mut self, name: &str, socket: TcpListener) -> Result<(), String> {
        let place = match name {
            "observe" => &mut self.observe,
            // A unit without a name gives its own.
            "listen" | "" | "unknown" | "generic-connector.socket" => &mut self.listen,
            _ => {
                self.others.push(socket);
                return Err(format!(
                    "systemd passes a socket that is called \"{name}\": set FileDescriptorName= of its unit to listen or \
                     observe"
                ));
            }
        };
        if let Some(other) = place.replace(socket) {
            self.others.push(other);
            return Err(format!(
                "systemd passes two sockets that are called \"{name}\": keep one ListenStream= a unit"
            ));
        }
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.listen.is_none() && self.observe.is_none() && self.others.is_empty()
    }

    /// The same sockets again.
    pub fn try_clone(&self) -> io::Result<Sockets> {
        let again =
            |socket: &Option<TcpListener>| socket.as_ref().map(TcpListener::try_clone).transpose();
        Ok(Sockets {
            listen: again(&self.listen)?,
            observe: again(&self.observe)?,
            others: self
                .others
                .iter()
                .map(TcpListener::try_clone)
                .collect::<io::Result<_>>()?,
        })
    }
}
