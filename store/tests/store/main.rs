//! The store's suite, the same on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)] // a test may panic

#[macro_use]
mod bed;
mod claims;
mod clusters;
mod documents;
mod fixture;
mod lives;
mod load;
mod postgres;
mod random;
mod sealed;
mod status;
