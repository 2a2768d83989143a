//! Suites across crates: each test has a stack of its own, with real Temporal and real HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod suite {
    mod applications;
    mod cases;
    mod control_plane;
    mod engine;
    mod house;
    mod terminate;
}
