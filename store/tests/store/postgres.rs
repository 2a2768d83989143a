//! One PostgreSQL server for the test binary, on a socket in a temporary directory; it ends with
//! the binary, however that ends: a shell holds its standard input and stops it at the end of file.
#![allow(clippy::print_stderr)] // says that a test was skipped

use sea_orm::{ConnectionTrait, Database};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

struct Server {
    dir: PathBuf,
    _shell: Child,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// nobody: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65_534;

/// The address of a fresh database; `None` where PostgreSQL is not installed.
pub async fn database() -> Option<String> {
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start).as_ref())
        .await
        .unwrap();
    let Some(server) = server else {
        let required = ["CI", "MUSTER_REQUIRE_ALL"]
            .iter()
            .any(|name| std::env::var(name).is_ok_and(|v| !v.is_empty() && v != "0"));
        assert!(!required, "initdb and postgres are required here");
        eprintln!("skipped: no initdb and postgres on the PATH");
        return None;
    };
    let url = |name: &str| {
        format!(
            "postgres://muster@localhost/{name}?host={}",
            server.dir.display()
        )
    };
    let started = Instant::now();
    let db = loop {
        match Database::connect(url("postgres")).await {
            Ok(db) => break db,
            Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    db.execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    db.close().await.unwrap();
    Some(url(&name))
}

fn start() -> Option<Server> {
    let found = |name: &str| {
        std::env::split_paths(&std::env::var_os("PATH")?)
            .map(|dir| dir.join(name))
            .find(|path| path.exists())
    };
    let (initdb, postgres) = (found("initdb")?, found("postgres")?);
    let dir = tempfile::Builder::new()
        .prefix("muster-pg-")
        .tempdir()
        .unwrap()
        .keep();
    let root = is_root();
    if root {
        std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let data = dir.join("data");
    let status = as_nobody(root, &initdb)
        .args(["-A", "trust", "-U", "muster", "--no-sync", "-E", "UTF8"])
        .args(["--locale=C", "-D"])
        .arg(&data)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "initdb");
    let script = format!(
        "{postgres} -D {data} -k {dir} -c listen_addresses='' -c max_connections=400 -c fsync=off \
         > {dir}/log 2>&1 & p=$!; cat > /dev/null; kill -INT $p; wait $p; rm -rf {dir}",
        postgres = postgres.display(),
        data = data.display(),
        dir = dir.display(),
    );
    let shell = as_nobody(root, Path::new("/bin/sh"))
        .args(["-c", &script])
        .stdin(Stdio::piped())
        .current_dir("/")
        .spawn()
        .unwrap();
    Some(Server { dir, _shell: shell })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

fn as_nobody(root: bool, program: &Path) -> Command {
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let id = NOBODY.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    command.arg(program);
    command
}
