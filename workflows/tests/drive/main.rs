//! The order of work, without a server: drivers are asked what to do and told what became of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod play;

mod dependencies;
mod lanes;
mod random;
mod readiness;
mod trouble;
mod waves;
