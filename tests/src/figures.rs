//! What benchmarks measure with: percentiles, peak memory, summaries looked at sparingly.

use std::{future::Future, time::Duration};
use tokio::time::Instant;

/// The value below which so many per cent of `of` lie.
pub fn percentile(of: &[f64], per_cent: usize) -> f64 {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * per_cent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

pub fn median(of: &[f64]) -> f64 {
    percentile(of, 50)
}

/// Seconds until `done` says so, looked at ten times a second.
pub async fn seconds_until<F: Future<Output = bool>>(mut done: impl FnMut() -> F) -> f64 {
    let start = Instant::now();
    while !done().await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    start.elapsed().as_secs_f64()
}

/// Most memory that this process held since the last [`forget_peak`], in MiB.
pub fn peak_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| {
        rest.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<f64>()
            .ok()
    });
    kib.map_or(f64::NAN, |kib| kib / 1024.0)
}

/// Begins a new peak.
pub fn forget_peak() {
    // Where that is not possible the peak is that of the whole process, and the ratio is 1.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
