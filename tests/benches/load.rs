//! Many small contexts at once, and a large one beside small ones.
//!
//! `cargo bench -p muster-tests --bench load [-- SMALL PER_SECOND CLUSTERS OBJECTS]`: so many DIGs
//! of one small app instantiated at a rate, then one DIG of OBJECTS on all clusters instantiated,
//! watched and terminated while small ones keep being served.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use proto::v1::{
    ContextState, StatusView, WatchStatusRequest, lifecycle_service_client::LifecycleServiceClient,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tests::{
    Dig, Stack,
    documents::{App, Upload, config_maps, on},
    figures::{forget_peak, peak_mib, percentile, seconds_until},
};
use tokio::{task::JoinSet, time::sleep_until};

/// Small DIGs that are served beside the large one, one after the other.
const BESIDE: usize = 400;

fn small(upload: &mut Upload, name: &str, cluster: usize) {
    let maps = [
        format!("{name}-1"),
        format!("{name}-2"),
        format!("{name}-3"),
    ];
    let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
    upload.app(name, "v1", &[App::new("a", config_maps(&maps))]);
    upload.dig(name, &on(&[&format!("c{cluster}")]));
}

/// Creates and approves small DIGs.
async fn prepare(stack: &Stack, prefix: &str, number: usize, clusters: usize) -> Vec<Dig> {
    let names: Vec<String> = (0..number).map(|i| format!("{prefix}{i}")).collect();
    for (part, names) in names.chunks(100).enumerate() {
        let mut upload = Upload::default();
        for (i, name) in names.iter().enumerate() {
            small(&mut upload, name, (part * 100 + i) % clusters + 1);
        }
        stack.apply(upload).await.unwrap();
    }
    let digs: Vec<Dig> = names.iter().map(|name| stack.dig(name)).collect();
    let mut approvals = JoinSet::new();
    for dig in digs.clone() {
        approvals.spawn(async move { dig.approve().await.unwrap() });
        if approvals.len() >= 16 {
            approvals.join_next().await;
        }
    }
    approvals.join_all().await;
    digs
}

async fn is(dig: &Dig, state: ContextState) -> bool {
    let head = dig.summary().await;
    head.and_then(|head| head.context)
        .is_some_and(|context| context.state() == state)
}

fn print(what: &str, seconds: &[f64]) {
    println!(
        "{what}: {} samples, p50 {:.0} ms, p99 {:.0} ms, most {:.0} ms",
        seconds.len(),
        1e3 * percentile(seconds, 50),
        1e3 * percentile(seconds, 99),
        1e3 * percentile(seconds, 100)
    );
}

/// So many DIGs at so many per second; waits until all are Instantiated.
async fn many(digs: &[Dig], per_second: usize) {
    forget_peak();
    let start = tokio::time::Instant::now();
    let mut calls = JoinSet::new();
    for (i, dig) in digs.iter().cloned().enumerate() {
        let at = start + Duration::from_secs_f64(i as f64 / per_second as f64);
        calls.spawn(async move {
            sleep_until(at).await;
            let asked = Instant::now();
            dig.instantiate().await.unwrap();
            asked.elapsed().as_secs_f64()
        });
    }
    let answers = calls.join_all().await;
    print(
        &format!("{} accepted at {per_second}/s", digs.len()),
        &answers,
    );
    for dig in digs {
        seconds_until(|| is(dig, ContextState::Instantiated)).await;
    }
    println!(
        "all Instantiated {:.1} s after the first call; peak memory {:.0} MiB",
        start.elapsed().as_secs_f64(),
        peak_mib()
    );
}

/// What the small ones beside a large one see: answer, and until Instantiated.
#[derive(Default)]
struct Beside {
    answers: Vec<f64>,
    settled: Vec<f64>,
}

/// Serves small DIGs, two at a time, until told to stop.
async fn serve(digs: Vec<Dig>, stop: Arc<AtomicBool>) -> Beside {
    let mut seen = Beside::default();
    for dig in digs {
        if stop.load(Relaxed) {
            break;
        }
        let asked = Instant::now();
        dig.instantiate().await.unwrap();
        seen.answers.push(asked.elapsed().as_secs_f64());
        seconds_until(|| is(&dig, ContextState::Instantiated)).await;
        seen.settled.push(asked.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    seen
}

/// Watches a DIG until told to stop; counts messages and resources.
async fn watch(stack: &Stack, name: &str, resources: Arc<AtomicUsize>) {
    let mut client =
        LifecycleServiceClient::new(stack.channel.clone()).max_decoding_message_size(64 << 20);
    let request = WatchStatusRequest {
        project: "p".into(),
        name: name.into(),
        view: StatusView::Full.into(),
        ..WatchStatusRequest::default()
    };
    let mut stream = client.watch_status(request).await.unwrap().into_inner();
    tokio::spawn(async move {
        while let Ok(Some(message)) = stream.message().await {
            resources.fetch_add(message.resources.len(), Relaxed);
        }
    });
}

async fn large(stack: &Stack, beside: Vec<Dig>, clusters: usize, objects: usize) {
    let names: Vec<String> = (1..=clusters).map(|i| format!("c{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let maps: Vec<String> = (0..objects / clusters)
        .map(|i| format!("large{i}"))
        .collect();
    let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
    let dig = stack
        .approved("large", &[App::new("a", config_maps(&maps))], &on(&names))
        .await;
    forget_peak();
    let stop = Arc::new(AtomicBool::new(false));
    let serving = tokio::spawn(serve(beside, stop.clone()));
    let seen = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    dig.instantiate().await.unwrap();
    println!(
        "large: accepted in {:.0} ms",
        1e3 * start.elapsed().as_secs_f64()
    );
    watch(stack, "large", seen.clone()).await;
    seconds_until(|| is(&dig, ContextState::Instantiated)).await;
    println!(
        "large: {objects} objects Instantiated in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    dig.terminate().await.unwrap();
    println!(
        "large: terminate accepted in {:.0} ms",
        1e3 * start.elapsed().as_secs_f64()
    );
    seconds_until(|| is(&dig, ContextState::Terminated)).await;
    println!(
        "large: Terminated in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    stop.store(true, Relaxed);
    let small = serving.await.unwrap();
    println!("large: the watch saw {} resources", seen.load(Relaxed));
    print("small ones beside it: answer", &small.answers);
    print("small ones beside it: Instantiated", &small.settled);
    println!("peak memory {:.0} MiB", peak_mib());
}

#[tokio::main]
async fn main() {
    tests::logs::capture_as_usual();
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let [number, per_second, clusters, objects] = match numbers[..] {
        [number, per_second, clusters, objects] => [number, per_second, clusters, objects],
        _ => [1_000, 100, 50, 50_000],
    };
    let stack = Stack::start(clusters).await;
    if number > 0 {
        let digs = prepare(&stack, "s", number, clusters).await;
        many(&digs, per_second).await;
    }
    if objects > 0 {
        let beside = prepare(&stack, "b", BESIDE, clusters).await;
        large(&stack, beside, clusters, objects).await;
    }
    stack.end().await;
}
