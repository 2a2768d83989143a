//! The api over a real SQLite store, with a waker that only takes notes.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod documents;
mod refusals;
mod stack;
mod status;
mod verbs;
