//! The whole program against a server that says what a test wants: output, exit codes, requests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at once"
)]

mod answers;
mod fake;
mod run;

mod clusters;
mod documents;
mod status;
mod verbs;
mod waits;
