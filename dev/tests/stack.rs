//! `muster-dev up` from outside: what it promises to people and scripts.

#![allow(clippy::unwrap_used)] // A panic is a test's way to say no.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(120);

/// `muster-dev` with an environment of its own.
fn muster_dev(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-dev"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        // The cache with the Temporal CLI stays where it is.
        if text.starts_with("TEMPORAL_") || text.starts_with("MUSTER_") && text != "MUSTER_CACHE" {
            command.env_remove(&name);
        }
    }
    command
        .env("MUSTER_DATA_DIR", home.join("data"))
        .stdin(Stdio::null());
    command
}

/// A running `up`; killed when the test fails before it was stopped.
struct Up {
    child: Child,
    ready: Value,
    file: PathBuf,
}

impl Up {
    fn start(home: &Path, arguments: &[&str]) -> Self {
        let file = home.join("ready.json");
        let mut child = muster_dev(home)
            .arg("up")
            .args(arguments)
            .arg("--ready-file")
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        let ready = wait_for("the ready file", || {
            assert_eq!(child.try_wait().unwrap(), None, "up ended");
            read(&file).filter(|ready| ready["pids"]["dev"] == pid)
        });
        Self { child, ready, file }
    }

    fn pid(&self, name: &str) -> u64 {
        self.ready["pids"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("a pid of {name}"))
    }

    /// Until the ready file names another pid.
    fn another(&mut self, name: &str, than: u64) -> u64 {
        let file = self.file.clone();
        self.ready = wait_for("another pid in the ready file", || {
            read(&file).filter(|ready| ready["pids"][name].as_u64().is_some_and(|pid| pid != than))
        });
        self.pid(name)
    }

    /// Nothing is written while nothing happens: the ready file stays the same one.
    fn is_idle(&self) {
        let written = || fs::metadata(&self.file).unwrap().modified().unwrap();
        wait_for("a ready file that stays", || {
            let before = written();
            std::thread::sleep(Duration::from_millis(200));
            (written() == before).then_some(())
        });
    }

    /// Ends it as a supervisor would.
    fn stop(mut self) {
        signal(u64::from(self.child.id()), "TERM");
        let status = wait_for("the end of up", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(file: &Path) -> Option<Value> {
    serde_json::from_str(&fs::read_to_string(file).ok()?).ok()
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(pid: u64, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

fn gone(pid: u64) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // A zombie is gone too; its parent (init) has not looked yet.
        Ok(stat) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z')),
        Err(_) => true,
    }
}

fn output(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    (output.status.success(), String::from_utf8(text).unwrap())
}

const PARTS: [&str; 4] = ["temporal", "api", "worker", "clusters"];

#[cfg(target_os = "linux")]
#[test]
fn a_stack_survives_kills_of_every_part_and_is_taken_over_after_its_own() {
    let home = tempfile::tempdir().unwrap();
    let mut up = Up::start(
        home.path(),
        &["--clusters", "2", "--grpc", ":0", "--http", ":0"],
    );
    let first = up.ready.clone();
    assert_eq!(first["clusters"].as_array().unwrap().len(), 2);
    assert_eq!(first["clusters"][1]["id"], "sandbox+c2");
    assert!(Path::new(first["clusters"][0]["kubeconfig"].as_str().unwrap()).is_absolute());

    for part in PARTS {
        let before = up.pid(part);
        signal(before, "KILL");
        let after = up.another(part, before);
        assert_ne!(before, after, "{part}");
    }

    // Its own death takes all of them along.
    let pids: Vec<u64> = PARTS.iter().map(|part| up.pid(part)).collect();
    signal(u64::from(up.child.id()), "KILL");
    up.child.wait().unwrap();
    wait_for("the end of the children", || {
        pids.iter().all(|pid| gone(*pid)).then_some(())
    });
    drop(up);

    // The same directory goes on: as many clusters, the same ports where they were chosen for it.
    let again = Up::start(home.path(), &["--grpc", ":0", "--http", ":0"]);
    assert_eq!(again.ready["clusters"], first["clusters"]);
    assert_eq!(again.ready["temporal"], first["temporal"]);
    assert_eq!(again.ready["store"], first["store"]);
    again.is_idle();
    let mut second = muster_dev(home.path());
    let (served, refusal) = output(second.arg("up"));
    assert!(
        !served && refusal.contains("another muster-dev"),
        "{refusal}"
    );
    again.stop();
}

#[test]
fn faults_are_switched_and_requests_are_shown_by_id_and_by_name() {
    let home = tempfile::tempdir().unwrap();
    let up = Up::start(
        home.path(),
        &[
            "--clusters",
            "1",
            "--only",
            "temporal,clusters",
            "--temporal",
            "127.0.0.1:1",
        ],
    );
    assert!(up.ready["grpc"].is_null() && up.ready["pids"]["worker"].is_null());
    assert_eq!(up.ready["temporal"], "127.0.0.1:1");
    assert!(up.ready["pids"]["temporal"].is_null());
    let sandbox = |words: &[&str]| output(muster_dev(home.path()).arg("sandbox").args(words));
    let (ok, text) = sandbox(&[
        "fault",
        "sandbox+c1",
        "status",
        "503",
        "--verb",
        "apply",
        "--times",
        "2",
    ]);
    assert!(
        ok && text.contains("status 503 --verb apply --times 2"),
        "{text}"
    );
    let (ok, text) = sandbox(&["fault", "c1", "latency"]);
    assert!(!ok && text.contains("milliseconds"), "{text}");
    let (ok, text) = sandbox(&["fault", "c9", "reset"]);
    assert!(!ok && text.contains("sandbox+c1"), "{text}");
    let (ok, text) = sandbox(&["heal", "c1"]);
    assert!(ok, "{text}");
    let (ok, text) = sandbox(&["log", "c1", "-o", "json"]);
    let log: Value = serde_json::from_str(&text).unwrap();
    assert!(ok && log.is_array(), "{text}");
    up.stop();
    let (ok, text) = sandbox(&["log", "c1"]);
    assert!(!ok && text.contains("no stack is running"), "{text}");
}
