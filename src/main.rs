//! The binary. The program is in the library, where the tests reach its parts.

use std::process::ExitCode;

fn main() -> ExitCode {
    generic_connector::command::main()
}
