//! The store's suite, the same on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used)] // a test may panic

#[macro_use]
mod bed;
mod claims;
mod clusters;
mod contention;
mod documents;
mod fixture;
mod halts;
mod ledger;
mod lives;
mod load;
mod outcomes;
mod postgres;
mod random;
mod readiness;
mod sealed;
mod status;
