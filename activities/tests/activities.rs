//! The activities against a real store and sandbox clusters, driven as the workflow drives them.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod suite {
    mod bed;
    mod collector;
    mod driver;
    mod endings;
    mod faults;
    mod lives;
    mod proofs;
    mod sick;
}
