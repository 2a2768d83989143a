//! One contract, two servers: everything Muster relies on, asked of a real kube-apiserver and of a
//! sandbox cluster, with the same expectations.
//!
//! The cases are data, `tests/contract/*.yaml` (its README says how they read). Where the sandbox
//! leaves something out on purpose, the step says so with the row of the table in
//! `docs/sandbox.md` that tells users; such a step must really differ.

mod case;
mod expect;
mod run;
mod server;

use std::collections::BTreeSet;

use case::{Case, cases};
use futures_util::StreamExt;
use server::Server;

/// Enough to keep a server busy without making others wait for it.
const AT_ONCE: usize = 8;

/// Runs every case and tells all failures together.
async fn check(server: &Server) {
    let cases = cases();
    let runs = cases
        .iter()
        .enumerate()
        .map(|(at, case)| run::run(server, at, case));
    let failed: Vec<String> = futures_util::stream::iter(runs)
        .buffer_unordered(AT_ONCE)
        .filter_map(async |outcome| outcome.err())
        .collect()
        .await;
    assert!(
        failed.is_empty(),
        "{} of {} cases fail on {}\n\n{}",
        failed.len(),
        cases.len(),
        server.name(),
        failed.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_keeps_the_contract() {
    let (server, host) = server::sandbox().await;
    check(&server).await;
    drop(host);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_keeps_the_contract() {
    let Some((server, plane)) = server::real().await else {
        return;
    };
    check(&server).await;
    drop(plane);
}

/// The first column of the table under `## What it leaves out`.
fn left_out() -> BTreeSet<String> {
    let page = include_str!("../../../../docs/sandbox.md");
    let after = page.split("## What it leaves out").nth(1).unwrap();
    let section = after.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.skip(1)
        .map(|row| row.split('|').nth(1).unwrap().trim().to_owned())
        .collect()
}

#[test]
fn what_the_cases_say_the_sandbox_leaves_out_is_in_the_table_for_users() {
    let (cases, told) = (cases(), left_out());
    let steps = cases.iter().flat_map(|case: &Case| &case.steps);
    let shown: BTreeSet<String> = steps
        .filter_map(|step| Some(step.sandbox.as_ref()?.leaves_out.clone()))
        .collect();
    let untold: Vec<_> = shown.difference(&told).collect();
    assert!(untold.is_empty(), "not in docs/sandbox.md: {untold:?}");
    assert!(!shown.is_empty());
}
