//! Processes by identity: a pid alone may meanwhile be somebody else's.

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// A pid with what makes it unique: when it was started, in which boot of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// Clock ticks since boot, from `/proc/PID/stat`.
    start: u64,
    boot: String,
}

impl Identity {
    /// `None` when there is no such process, or no `/proc` to prove it by.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self {
            pid,
            start: started(&stat)?,
            boot: boot.trim().to_owned(),
        })
    }

    /// That very process runs.
    pub fn alive(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| now == *self)
    }

    fn signal(&self, signal: Signal) {
        if self.alive()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Ends it: SIGTERM, and SIGKILL after `grace`. Returns when it is gone.
    pub fn end(&self, grace: Duration) {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + grace;
        while self.alive() && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
        }
        while self.alive() {
            self.signal(Signal::KILL);
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Field 22 of `/proc/PID/stat`; `None` for a zombie, which runs no more. The name in field 2 may
/// hold blanks and parentheses.
fn started(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Asks a child of ours to end.
pub fn terminate(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::TERM);
    }
}

/// What a pid file names, if it still runs.
pub fn left_over(file: &Path) -> Option<Identity> {
    let text = fs::read_to_string(file).ok()?;
    let identity: Identity = serde_json::from_str(&text).ok()?;
    identity.alive().then_some(identity)
}

/// Makes this process die with its parent; false if the parent is gone already. Elsewhere than on
/// Linux nothing is done, and a leftover is found by its pid file.
#[cfg(target_os = "linux")]
pub fn die_with_parent(parent: u32) -> bool {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // It may have died before that.
    rustix::process::getppid()
        .is_some_and(|pid| pid.as_raw_nonzero().get().unsigned_abs() == parent)
}

#[cfg(not(target_os = "linux"))]
pub fn die_with_parent(_parent: u32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn sleeper() -> Child {
        Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    #[test]
    fn start_times_are_read_past_any_name() {
        let tail = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(started(&format!("7 (a b) c)) {tail}")), Some(4711));
        assert_eq!(started(&format!("7 (x) Z{}", &tail[1..])), None);
        assert_eq!(started("garbage"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_is_ended_and_a_pid_of_another_start_is_left_alone() {
        let mut child = sleeper();
        let identity = Identity::of(child.id()).unwrap();
        let reused = Identity {
            start: identity.start + 1,
            ..identity.clone()
        };
        let other_boot = Identity {
            boot: "another".into(),
            ..identity.clone()
        };
        for stranger in [reused, other_boot] {
            stranger.end(Duration::ZERO);
            assert!(identity.alive());
        }
        // A zombie counts as gone, so this returns although nobody waited for it.
        identity.end(Duration::from_secs(5));
        assert!(!identity.alive());
        child.wait().unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_pid_file_counts_only_while_its_process_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("temporal.json");
        assert_eq!(left_over(&file), None);
        fs::write(&file, "{ damaged").unwrap();
        assert_eq!(left_over(&file), None);
        let mut child = sleeper();
        let identity = Identity::of(child.id()).unwrap();
        fs::write(&file, serde_json::to_string(&identity).unwrap()).unwrap();
        assert_eq!(left_over(&file), Some(identity));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(left_over(&file), None);
    }
}
