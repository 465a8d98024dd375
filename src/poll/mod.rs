//! poll
pub mod cursor;
#[cfg(test)]
mod cursor_model;
