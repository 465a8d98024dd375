//! What Formance and the operator reach over the network: the listener, and what it answers.
//!
//! [`http`] is the server, which knows nothing of what is served.

pub mod http;
