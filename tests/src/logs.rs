//! What the stacks of this process log, kept so that a test can look for what must not be there.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};
use tracing_subscriber::EnvFilter;

static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Keep;

impl Write for Keep {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
        logged.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What our crates say at most, and the others as the binaries let them by default.
pub const OURS: &str = "info,activities=trace,api=trace,cli=trace,model=trace,sandbox=trace,\
                        store=trace,temporal=trace,worker=trace,workflows=trace";

/// Keeps what is logged from now on, by `RUST_LOG` or at the lowest level of our crates.
pub fn capture() {
    capture_as(OURS);
}

/// … as the worker logs if nothing is said: what benchmarks measure. The first call counts.
pub fn capture_as_usual() {
    capture_as(worker::USUAL_LOG);
}

fn capture_as(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| Keep)
        .try_init();
}

/// Everything that was logged, by all tests of this process.
pub fn so_far() -> Vec<u8> {
    LOGGED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}
