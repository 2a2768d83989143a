//! The clocks: one for the send window, one for what users see.

use std::time::{Duration, SystemTime};

/// Time since boot, suspension included: a monotonic clock stops while a VM sleeps, and a request
/// that slept with it would leave long after its window (protocol §5.3).
pub fn boot_time() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Wall clock in ms since the epoch: for delays and the retry time, which need no agreement
/// between processes to the millisecond.
pub fn wall_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::boot_time;

    #[test]
    fn boot_time_never_goes_back() {
        let mut last = boot_time();
        for _ in 0..1_000 {
            let now = boot_time();
            assert!(now >= last);
            last = now;
        }
    }
}
