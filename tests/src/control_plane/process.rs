//! One process of a control plane: dies with this one, can be killed and started again.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
};

/// How it is started, each time.
#[derive(Debug, Clone)]
pub struct Spec {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    /// Its output goes here, appended.
    pub log: PathBuf,
}

/// While this value lives, the process may; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    pub fn start(spec: &Spec) -> io::Result<Self> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&spec.log)?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&spec.program)
            .args(&spec.arguments)
            // Neither proxies nor a kubeconfig of whoever runs the tests.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the test process; they end with it.
            .process_group(0);
        Ok(Self {
            child: spawn(command)?,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ended by itself.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; it may take its time.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A child dies with the thread that started it, so that is one that lives as long as the process:
/// the runtime of a test ends before the next test wants the control plane it has started.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, taken) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            while let Ok((mut command, answer)) = taken.recv() {
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let (answer, child) = mpsc::sync_channel(1);
    let gone = |_| io::Error::other("nobody starts processes any more");
    spawner
        .send((command, answer))
        .map_err(|e| gone(e.to_string()))?;
    child.recv().map_err(|e| gone(e.to_string()))?
}

/// Removes a folder when this process is gone, however it ended: what a static holds is never
/// dropped. Ends with it, or at once when dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    broom: Child,
}

impl Folder {
    pub fn create() -> io::Result<Self> {
        let path = tempfile::Builder::new()
            .prefix("muster-control-plane-")
            .tempdir()?
            .keep();
        // Reads to the end of its input, which is the end of this process. The second look is for
        // a process that was still writing at the first.
        let script = "cat >/dev/null; rm -rf \"$1\" 2>/dev/null || { sleep 1; rm -rf \"$1\"; }";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "broom"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        Ok(Self {
            broom: spawn(command)?,
            path,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.broom.stdin.take());
        let _ = self.broom.wait();
    }
}

/// The end of a log, for whoever has to find out why something did not start.
pub fn last_words(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(2048)..]).into_owned();
    tail.lines()
        .rev()
        .take(12)
        .fold(String::new(), |all, line| {
            format!("{}\n{all}", line.chars().take(300).collect::<String>())
        })
}
