//! Temporal's development server as a child process: where its binary comes from, its flags, and
//! a server that lives as long as a value, for tests.

mod cli;
mod fetch;
mod server;

pub use cli::{Cli, CliError, Source, VERSION, resolve};
pub use server::{DevServer, Running, free_port, keep_histories};
