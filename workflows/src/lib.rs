//! Deterministic orchestration of lifecycles, and the contract with the activities that do the work.
//!
//! Knows no cluster, no SQL, no clock: it sees ids and small outcomes only.

pub mod check;
pub mod collect;
mod completions;
pub mod contract;
pub mod drive;
pub mod lifecycle;
pub mod limits;
pub mod perform;
