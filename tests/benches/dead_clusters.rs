//! What dead clusters cost the others: the same objects on the same clusters, without and with a
//! fifth as many black holes beside them, in turn, in one run; and how soon each of these is found
//! and worked on once it is healed.
//!
//! `cargo bench -p muster-tests --bench dead_clusters [-- HEALTHY DEAD OBJECTS ROUNDS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use sandbox::host::{FaultKind, LogEntry, Verb};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tests::{
    Dig, Stack,
    documents::{App, config_maps, on},
    figures::{forget_peak, median, peak_mib, percentile, seconds_until},
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

/// What one round showed.
struct Round {
    /// Seconds until the healthy clusters were done.
    took: f64,
    /// The peak of memory meanwhile.
    mib: f64,
    /// For each dead cluster the seconds from its heal to the probe that found it, and from that to
    /// the first apply.
    found: Vec<(f64, f64)>,
}

/// Milliseconds, as the log of requests counts.
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// When a cluster that was healed then was found, and worked on.
fn found(stack: &Stack, cluster: &str, healed_ms: i64) -> (f64, f64) {
    let log = stack.log(cluster);
    let first = |is: &dyn Fn(&LogEntry) -> bool| {
        let later = |e: &&LogEntry| e.time.as_millisecond() >= healed_ms && e.code.is_some();
        let mut entries = log.iter().filter(later).filter(|e| is(e));
        entries.next().unwrap().time.as_millisecond()
    };
    let probe = first(&|e| e.path.as_deref() == Some("/version"));
    let apply = first(&|e| e.verb == Verb::Apply);
    let seconds = |ms: i64| ms as f64 / 1_000.0;
    (seconds(probe - healed_ms), seconds(apply - probe))
}

async fn round(stack: &Stack, dig: &Dig, healthy: &[String], dead: &[&str], n: i64) -> Round {
    for cluster in dead {
        stack.fault(cluster, FaultKind::BlackHole);
    }
    forget_peak();
    let start = Instant::now();
    dig.instantiate().await.unwrap();
    seconds_until(|| others_done(dig, healthy, n)).await;
    let took = start.elapsed().as_secs_f64();
    let mib = peak_mib();
    let mut healed = vec![];
    for cluster in dead {
        healed.push((*cluster, now_ms()));
        stack.heal(cluster).await;
    }
    dig.until_settled().await;
    let found = healed
        .iter()
        .map(|(cluster, at)| found(stack, cluster, *at));
    let found = found.collect();
    dig.terminate().await.unwrap();
    dig.until_settled().await;
    Round { took, mib, found }
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
    for (what, rounds) in [("alone", &without), ("beside dead ones", &with)] {
        let seconds = median(&rounds.iter().map(|r| r.took).collect::<Vec<_>>());
        let mib = median(&rounds.iter().map(|r| r.mib).collect::<Vec<_>>());
        println!("| {what} | {seconds:.2} s | {mib:.0} MiB |");
        rows.push((seconds, mib));
    }
    println!(
        "| ratio with {dead} dead | {:.3} | {:.3} |",
        rows[1].0 / rows[0].0,
        rows[1].1 / rows[0].1
    );
    let (mut probed, mut applied) = (vec![], vec![]);
    for (probe, apply) in with.iter().flat_map(|round| &round.found) {
        probed.push(*probe);
        applied.push(*apply);
    }
    for (what, seconds) in [("heal to probe", probed), ("probe to first apply", applied)] {
        let (half, all) = (median(&seconds), percentile(&seconds, 100));
        println!("from {what}: median {half:.2} s, longest {all:.2} s");
    }
    stack.end().await;
}
