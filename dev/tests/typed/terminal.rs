//! A clone and a home of their own, and a shell in it.

use serde_json::Value;
use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Looks until it is there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let ends = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < ends, "waited in vain for {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// One user's machine: nothing of the settings, the caches and the stacks of whoever runs the test.
pub struct Machine {
    folder: TempDir,
    /// Typed so far, for every terminal: `export …`.
    exports: String,
    /// Where the stack's api listens.
    server: Option<String>,
}

impl Machine {
    /// `programs` are on the path: a name and what it runs.
    pub fn new(programs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let machine = Self {
            folder,
            exports: String::new(),
            server: None,
        };
        let built = machine.clone_folder().join("target/debug");
        fs::create_dir_all(&built).unwrap();
        fs::create_dir_all(machine.home().join("bin")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        symlink(root.join("samples"), machine.clone_folder().join("samples")).unwrap();
        let dev = env!("CARGO_BIN_EXE_muster-dev");
        symlink(dev, built.join("muster-dev")).unwrap();
        script(&built.join("muster"), &format!("exec {dev} muster \"$@\""));
        let temporal = tests::stack::temporal_cli();
        symlink(temporal, machine.home().join("bin/temporal")).unwrap();
        for (name, runs) in programs {
            script(&machine.home().join("bin").join(name), runs);
        }
        machine
    }

    /// Where the commands are typed.
    pub fn clone_folder(&self) -> PathBuf {
        self.folder.path().join("muster")
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// What `export` says, from here on in every terminal.
    pub fn export(&mut self, line: &str) {
        self.exports += &format!("{line}\n");
    }

    fn command(&self, line: &str) -> Command {
        let mut shell = Command::new("bash");
        let path = format!("{}:/usr/bin:/bin", self.home().join("bin").display());
        shell
            .args(["-c", &format!("{}{line}", self.exports)])
            .current_dir(self.clone_folder())
            .env_clear()
            .env("PATH", path)
            .env("HOME", self.home())
            // The usual ports may be taken; then the server has to be named.
            .env("MUSTER_GRPC", ":0")
            .env("MUSTER_HTTP", ":0")
            .stdin(Stdio::null());
        if let Some(server) = &self.server {
            shell.env("MUSTER_SERVER", server);
        }
        shell
    }

    /// Types a line; what it printed when it has ended.
    pub fn try_type(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// … and succeeded.
    pub fn type_line(&self, line: &str) -> String {
        let output = self.try_type(line);
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "$ {line}\n{text}\n{errors}\n{}",
            output.status
        );
        text
    }

    /// Types a line that goes on until Ctrl-C.
    pub fn begin(&self, line: &str) -> Running {
        let (file, printed) = tempfile::NamedTempFile::new_in(self.home())
            .unwrap()
            .into_parts();
        let child = self
            .command(&format!("exec {line}"))
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Running {
            child,
            printed: printed.keep().unwrap(),
            line: line.to_owned(),
        }
    }

    /// Types a `muster-dev up` and waits until it says that it is ready. One at a time: stacks of
    /// one user agree on ports before they bind them, those of several cannot.
    pub fn up(&mut self, line: &str) -> Running {
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut up = self.begin(line);
        let text = up.prints("ready; Ctrl-C stops it");
        let grpc = text.lines().find_map(|line| line.strip_prefix("grpc "));
        self.server = Some(grpc.unwrap().trim().to_owned());
        up
    }

    /// `muster status DIG -o json`.
    pub fn status(&self, dig: &str) -> Value {
        serde_json::from_str(&self.type_line(&format!("muster status {dig} -o json"))).unwrap()
    }

    /// Until the status is as wanted.
    pub fn until(&self, what: &str, dig: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, || Some(self.status(dig)).filter(&is))
    }

    /// The kubeconfig of a cluster of the stack.
    pub fn kubeconfig(&self, cluster: &str) -> String {
        let folder = self.home().join(".local/share/muster/kubeconfig");
        fs::read_to_string(folder.join(format!("{cluster}.yaml"))).unwrap()
    }
}

/// The states of all resources on a cluster in a status.
pub fn states<'a>(status: &'a Value, cluster: &str) -> Vec<&'a str> {
    let apps = status["apps"].as_array().unwrap().iter();
    let clusters = apps.flat_map(|app| app["clusters"].as_array().unwrap());
    clusters
        .filter(|of| of["cluster"] == cluster)
        .flat_map(|of| of["resources"].as_array().unwrap())
        .map(|resource| resource["deployedStatus"].as_str().unwrap())
        .collect()
}

/// A program that runs until Ctrl-C; killed when the test fails before.
pub struct Running {
    child: Child,
    printed: PathBuf,
    line: String,
}

impl Running {
    fn text(&self) -> String {
        fs::read_to_string(&self.printed).unwrap()
    }

    /// Waits until it has printed that.
    pub fn prints(&mut self, part: &str) -> String {
        wait_for(&format!("{part:?} of {}", self.line), || {
            let text = self.text();
            if text.contains(part) {
                return Some(text);
            }
            let ended = self.child.try_wait().unwrap();
            assert_eq!(ended, None, "$ {}\n{text}", self.line);
            None
        })
    }

    /// Ctrl-C; it ends as something that was asked to.
    pub fn interrupt(mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
        assert!(sent.unwrap().success());
        let ended = wait_for(&format!("the end of {}", self.line), || {
            self.child.try_wait().unwrap()
        });
        assert!(ended.success(), "$ {}\n{}\n{ended}", self.line, self.text());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(file: &Path, runs: &str) {
    fs::write(file, format!("#!/bin/sh\n{runs}\n")).unwrap();
    File::open(file)
        .unwrap()
        .set_permissions(fs::Permissions::from_mode(0o755))
        .unwrap();
}
