//! Where the binaries are: built once by `tests/control-plane/build`, kept outside the clone.

use std::{
    env,
    path::{Path, PathBuf},
};

/// What a whole control plane consists of, and its client.
const BINARIES: [&str; 6] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
    "kubectl",
];
/// How kwok plays a node and its pods.
const STAGES: &str = "kwok-stages.yaml";
const BUILD: &str = "tests/control-plane/build";

/// A folder with everything in it.
#[derive(Debug, Clone)]
pub struct Assets {
    folder: PathBuf,
}

impl Assets {
    /// The folder, if all is there; otherwise one line says what to do, and the caller skips.
    ///
    /// # Panics
    /// Something is absent and `MUSTER_REQUIRE_ALL` is set.
    pub fn find() -> Option<Self> {
        let folder = folder()?;
        let absent = BINARIES
            .iter()
            .chain([&STAGES])
            .find(|name| !folder.join(name).exists());
        let why = match absent {
            Some(name) => format!("no {name} in {}", folder.display()),
            None if !on_path("setpriv") => "no setpriv (util-linux) on the path".to_owned(),
            None => return Some(Self { folder }),
        };
        assert!(
            env::var_os("MUSTER_REQUIRE_ALL").is_none(),
            "{why}; run {BUILD}"
        );
        skipped(&why);
        None
    }

    pub fn binary(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn stages(&self) -> PathBuf {
        self.folder.join(STAGES)
    }
}

#[allow(clippy::print_stderr, reason = "a skip is said")]
fn skipped(why: &str) {
    eprintln!(
        "skipped: {why}; run {BUILD} (needs Go), or name a folder with the binaries in MUSTER_ASSETS"
    );
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// As `tests/control-plane/build` decides it.
fn folder() -> Option<PathBuf> {
    for name in ["MUSTER_ASSETS", "KUBEBUILDER_ASSETS"] {
        if let Some(folder) = env::var_os(name).filter(|folder| !folder.is_empty()) {
            return Some(folder.into());
        }
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("muster/assets").join(version()?))
}

/// The Kubernetes version that is built, from the one place that names it.
pub fn version() -> Option<&'static str> {
    let modules = include_str!("../../control-plane/go.mod");
    let mut words = modules.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("k8s.io/kubernetes")).then(|| words.next())?
    });
    words.next()
}
