//! Suites across crates: each test has a stack of its own, with real Temporal and real HTTP.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

/// Two tests of each function: on sandbox clusters, and on real control planes.
macro_rules! everywhere {
    ($($test:ident,)+) => {
        mod on_sandbox_clusters {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(tests::At::Sandbox).await;
            })+
        }
        mod on_real_servers {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(tests::At::RealServers).await;
            })+
        }
    };
}

#[path = "../../store/tests/store/postgres.rs"]
mod postgres;

mod suite {
    mod applications;
    mod cases;
    mod contract;
    mod control_plane;
    mod engine;
    mod failures;
    mod house;
    mod inputs;
    mod kubectl;
    mod large;
    mod loops;
    mod objects;
    mod orphans;
    mod outages;
    mod proxies;
    mod readiness;
    mod real_clusters;
    mod recovery;
    mod secrets;
    mod sick;
    mod terminate;
}
