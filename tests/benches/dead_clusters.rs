//! What dead clusters cost the others: the same objects on the same clusters, without and with a
//! fifth as many black holes beside them, in turn, in one run.
//!
//! `cargo bench -p muster-tests --bench dead_clusters [-- HEALTHY DEAD OBJECTS ROUNDS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use sandbox::host::FaultKind;
use std::time::Instant;
use tests::{
    Dig, Stack,
    documents::{App, config_maps, on},
    figures::{forget_peak, median, peak_mib, seconds_until},
};

/// Every object of the healthy clusters is Applied.
async fn others_done(dig: &Dig, healthy: &[String], objects: i64) -> bool {
    let Some(head) = dig.summary().await else {
        return false;
    };
    let Some(app) = head.apps.first() else {
        return false;
    };
    let done = app.clusters.iter().filter(|of| {
        let applied = of.deployed_counts.as_ref().map_or(0, |c| c.applied);
        applied == objects && healthy.contains(&of.cluster)
    });
    done.count() == healthy.len()
}

/// Seconds until the healthy clusters are done, and the peak of memory meanwhile.
async fn round(stack: &Stack, dig: &Dig, healthy: &[String], dead: &[&str], n: i64) -> (f64, f64) {
    for cluster in dead {
        stack.fault(cluster, FaultKind::BlackHole);
    }
    forget_peak();
    let start = Instant::now();
    dig.instantiate().await.unwrap();
    seconds_until(|| others_done(dig, healthy, n)).await;
    let took = start.elapsed().as_secs_f64();
    let peak = peak_mib();
    for cluster in dead {
        stack.heal(cluster).await;
    }
    dig.until_settled().await;
    dig.terminate().await.unwrap();
    dig.until_settled().await;
    (took, peak)
}

#[tokio::main]
async fn main() {
    tests::logs::capture_as_usual();
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let [healthy, dead, objects, rounds] = match numbers[..] {
        [healthy, dead, objects, rounds] => [healthy, dead, objects, rounds],
        _ => [40, 10, 100, 5],
    };
    let stack = Stack::start(healthy + dead).await;
    let names: Vec<String> = (1..=healthy + dead).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let others: Vec<String> = names[..healthy]
        .iter()
        .map(|n| format!("sandbox+{n}"))
        .collect();
    let maps: Vec<String> = (0..objects).map(|i| format!("m{i}")).collect();
    let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
    let app = [App::new("a", config_maps(&maps))];
    let alone = stack.approved("alone", &app, &on(&names[..healthy])).await;
    let beside = stack.approved("beside", &app, &on(&names)).await;
    let n = i64::try_from(objects).unwrap();

    let (mut without, mut with) = (vec![], vec![]);
    // The first round warms caches and connections.
    round(&stack, &alone, &others, &[], n).await;
    for _ in 0..rounds {
        without.push(round(&stack, &alone, &others, &[], n).await);
        with.push(round(&stack, &beside, &others, &names[healthy..], n).await);
    }
    println!("| {healthy} clusters × {objects} objects | until they are done | peak memory |");
    println!("|---|---|---|");
    let mut rows = vec![];
    for (what, rounds) in [("alone", without), ("beside dead ones", with)] {
        let seconds = median(&rounds.iter().map(|r| r.0).collect::<Vec<_>>());
        let mib = median(&rounds.iter().map(|r| r.1).collect::<Vec<_>>());
        println!("| {what} | {seconds:.2} s | {mib:.0} MiB |");
        rows.push((seconds, mib));
    }
    println!(
        "| ratio with {dead} dead | {:.3} | {:.3} |",
        rows[1].0 / rows[0].0,
        rows[1].1 / rows[0].1
    );
    stack.end().await;
}
