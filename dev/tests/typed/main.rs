//! What a new user types, as they type it: a shell, the programs on its path, a clone of their own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod own_clusters;
mod readme;
mod terminal;
