//! The promises, tested through the binary and HTTP.
