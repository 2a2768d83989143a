//! One child process, kept alive: started again with back-off when it dies, ended with the stack.
//!
//! A child of ours watches its standard input, which ends with this process, and says `ready` on
//! its standard output; what it logs goes to a file.

use crate::process::{self, Identity};
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child as Process, Command},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};

/// What a child of ours says when it is of use.
pub const READY: &str = "ready";
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Having run so long, the next death is a new story.
const STEADY: Duration = Duration::from_secs(10);
/// Deaths before it was ever ready, after which a start has failed.
const HOPELESS: u32 = 3;

/// What to run.
#[derive(Debug, Clone)]
pub struct Spec {
    pub name: &'static str,
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    pub environment: Vec<(OsString, OsString)>,
    pub without: Vec<OsString>,
    pub log: PathBuf,
    pub pid_file: PathBuf,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
}

/// How it is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doing {
    /// While it runs.
    pub pid: Option<u32>,
    /// It said so since its last start.
    pub ready: bool,
    /// Deaths since it was last ready.
    pub deaths: u32,
    /// How the last one ended.
    pub last: Option<String>,
}

/// A child process and the task that keeps it alive.
pub struct Child {
    pub name: &'static str,
    log: PathBuf,
    doing: watch::Receiver<Doing>,
    stop: watch::Sender<bool>,
    keeper: JoinHandle<()>,
}

impl Child {
    /// Starts it; `say` hears of deaths.
    pub fn start(spec: Spec, say: impl Fn(String) + Send + 'static) -> Self {
        let (report, doing) = watch::channel(Doing::default());
        let (stop, stopped) = watch::channel(false);
        Self {
            name: spec.name,
            log: spec.log.clone(),
            doing,
            stop,
            keeper: tokio::spawn(keep(spec, report, stopped, say)),
        }
    }

    pub fn pid(&self) -> Option<u32> {
        self.doing.borrow().pid
    }

    pub fn doing(&self) -> watch::Receiver<Doing> {
        self.doing.clone()
    }

    /// Until it said that it is ready.
    ///
    /// # Errors
    /// It died several times before, with the last words of its log.
    pub async fn ready(&self) -> Result<(), String> {
        let mut doing = self.doing.clone();
        let end = doing
            .wait_for(|doing| doing.ready || doing.deaths >= HOPELESS)
            .await;
        match end {
            Ok(doing) if doing.ready => Ok(()),
            _ => Err(self.obituary()),
        }
    }

    /// Why it does not run, in its own words.
    pub fn obituary(&self) -> String {
        let doing = self.doing.borrow();
        let ended = doing
            .last
            .clone()
            .unwrap_or_else(|| "it is not ready".into());
        match last_words(&self.log) {
            Some(words) => format!(
                "{}: {ended}: {words} (log: {})",
                self.name,
                self.log.display()
            ),
            None => format!("{}: {ended} (log: {})", self.name, self.log.display()),
        }
    }

    /// Asks it to end; SIGKILL follows after its grace. Dropping it kills it at once.
    pub fn end(&self) {
        self.stop
            .send_if_modified(|stop| !std::mem::replace(stop, true));
    }

    /// Until it has ended, after [`end`](Self::end).
    pub async fn ended(&mut self) {
        let _ = (&mut self.keeper).await;
    }
}

async fn keep(
    spec: Spec,
    report: watch::Sender<Doing>,
    mut stop: watch::Receiver<bool>,
    say: impl Fn(String) + Send + 'static,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let ended = match spawn(&spec) {
            Ok(mut process) => {
                let pid = process.id();
                note(&spec.pid_file, pid);
                report.send_modify(|doing| {
                    doing.pid = pid;
                    doing.ready = false;
                });
                let ended = live(&spec, &mut process, &report, &mut stop).await;
                let _ = fs::remove_file(&spec.pid_file);
                ended
            }
            Err(error) => Some(format!("{}: {error}", spec.program.display())),
        };
        let Some(ended) = ended else {
            report.send_modify(|doing| doing.pid = None);
            return;
        };
        if started.elapsed() > STEADY {
            pause = FIRST_PAUSE;
        }
        report.send_modify(|doing| {
            doing.pid = None;
            doing.deaths = if doing.ready { 1 } else { doing.deaths + 1 };
            doing.ready = false;
            doing.last = Some(ended.clone());
        });
        say(format!(
            "{} ended ({ended}); starting it again in {} ms",
            spec.name,
            pause.as_millis()
        ));
        tokio::select! {
            _ = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// `None` when it ended because it was told to.
async fn live(
    spec: &Spec,
    process: &mut Process,
    report: &watch::Sender<Doing>,
    stop: &mut watch::Receiver<bool>,
) -> Option<String> {
    // Held to the end: its end is how a child of ours learns of ours.
    let _input = process.stdin.take();
    let mut lines = process
        .stdout
        .take()
        .map(|output| BufReader::new(output).lines());
    loop {
        let line = async {
            match &mut lines {
                Some(lines) => lines.next_line().await.ok().flatten(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            gently = async { stop.wait_for(|stop| *stop).await.is_ok() } => {
                // Otherwise nobody holds the child any more: no time to be gentle.
                if gently {
                    break;
                }
                let _ = process.kill().await;
                return None;
            }
            status = process.wait() => {
                return Some(match status {
                    Ok(status) => status.to_string(),
                    Err(error) => error.to_string(),
                });
            }
            line = line => match line {
                Some(line) if line == READY => {
                    report.send_modify(|doing| doing.ready = true);
                }
                Some(_) => {}
                None => lines = None,
            },
        }
    }
    if let Some(pid) = process.id() {
        process::terminate(pid);
    }
    tokio::select! {
        _ = process.wait() => return None,
        () = tokio::time::sleep(spec.grace) => {}
        // It was set once; another change is its end.
        _ = stop.changed() => {}
    }
    let _ = process.kill().await;
    None
}

fn spawn(spec: &Spec) -> io::Result<Process> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&spec.log)?;
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        // Its own group: Ctrl-C is ours to hear, children are stopped in order.
        .process_group(0)
        .kill_on_drop(true);
    for name in &spec.without {
        command.env_remove(name);
    }
    command.envs(spec.environment.iter().map(|(name, value)| (name, value)));
    command.spawn()
}

fn note(file: &Path, pid: Option<u32>) {
    if let Some(identity) = pid.and_then(Identity::of) {
        let text = serde_json::to_string(&identity).unwrap_or_default();
        let _ = fs::write(file, text);
    }
}

fn last_words(log: &Path) -> Option<String> {
    let text = fs::read(log).ok()?;
    let tail = &text[text.len().saturating_sub(4096)..];
    let tail = String::from_utf8_lossy(tail);
    let line = tail.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().chars().take(400).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn script(folder: &Path, text: &str) -> Spec {
        Spec {
            name: "api",
            program: "sh".into(),
            arguments: vec!["-c".into(), text.into()],
            environment: vec![("GREETING".into(), "ready".into())],
            without: vec![],
            log: folder.join("api.log"),
            pid_file: folder.join("api.json"),
            grace: Duration::from_secs(5),
        }
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(LIMIT, future).await.expect("in time")
    }

    #[tokio::test]
    async fn a_child_that_dies_is_started_again_and_one_that_is_told_to_end_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Child::start(script(folder.path(), "echo $GREETING; exec cat"), |_| {});
        within(child.ready()).await.unwrap();
        let first = child.pid().unwrap();
        let mut doing = child.doing();
        assert!(process::left_over(&folder.path().join("api.json")).is_some());
        Identity::of(first).unwrap().end(Duration::ZERO);
        let again = within(doing.wait_for(|doing| doing.ready && doing.pid != Some(first)));
        assert_ne!(again.await.unwrap().pid, Some(first));
        child.end();
        within(child.ended()).await;
        assert_eq!(child.pid(), None);
        assert!(!folder.path().join("api.json").exists());
    }

    #[tokio::test]
    async fn a_child_that_never_gets_ready_fails_the_start_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let child = Child::start(
            script(folder.path(), "echo no such thing >&2; exit 3"),
            |_| {},
        );
        let error = within(child.ready()).await.unwrap_err();
        assert!(
            error.contains("exit status: 3") && error.contains("no such thing"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_child_that_ignores_the_stop_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = script(
            folder.path(),
            "trap '' TERM; echo ready; while :; do sleep 1; done",
        );
        spec.grace = Duration::from_millis(50);
        let mut child = Child::start(spec, |_| {});
        within(child.ready()).await.unwrap();
        child.end();
        within(child.ended()).await;
        assert_eq!(child.pid(), None);
    }
}
