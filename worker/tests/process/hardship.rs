//! A full disk, a read-only database, an exhausted file table: a clear error, nothing lost that was
//! answered, and all goes on when the cause is gone.
//!
//! What stands for what: a limit on the size of files (`RLIMIT_FSIZE`, below what the database has
//! by now) for a full disk, since neither needs a mount; a file without the right to write, and a
//! user who is bound by it, for a read-only database; a limit on descriptors (`RLIMIT_NOFILE`, below
//! what is open by now) for an exhausted file table.

use super::{ByHand, Process, R, WORKER, api_binary, unlimited};
use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
};
use tests::{
    Dig,
    clusters::{client, config_maps},
    until,
};
use tonic::Code;
use tonic_types::StatusExt as _;

const MAKE_WRITABLE: &str = "make it writable for the user of this server";

/// nobody
const NOBODY: u32 = 65_534;

async fn number_on(stack: &ByHand, cluster: &str) -> usize {
    let client = client(&stack.host.cluster(cluster).unwrap().kubeconfig).await;
    config_maps(&client).await.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_what_was_answered_goes_on_when_there_is_space() {
    let Some(api) = api_binary() else { return };
    let stack = ByHand::new(api, None, 1).await;
    let processes = [stack.api(), stack.worker()];
    stack.register().await;
    let x = stack.approved("x", 300, &["c1"]).await;
    let y = stack.approved("y", 5, &["c1"]).await;
    x.instantiate().await.unwrap();
    x.until("a part of it Applied", |s| s.count(R::Applied) > 30)
        .await;
    processes.iter().for_each(|p| p.limit("fsize", "4096"));
    let refused = y.instantiate_as("once").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.message().contains("disk"), "{refused:?}");
    // Reading needs no space, and the worker says why nothing moves.
    let status = x.status().await;
    assert!(
        status.count(R::Applied) < 300,
        "it was done before the disk was full"
    );
    until("the worker says it", || async {
        processes[1].log().contains("disk").then_some(())
    })
    .await;
    processes.iter().for_each(|p| p.limit("fsize", "unlimited"));
    until("the same request is accepted", || async {
        y.instantiate_as("once").await.ok()
    })
    .await;
    y.until_instantiated().await;
    let status = x.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 300);
    assert_eq!(number_on(&stack, "c1").await, 305);
    for dig in [&x, &y] {
        dig.terminate().await.unwrap();
        dig.until_terminated().await;
    }
    assert_eq!(number_on(&stack, "c1").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_file_table_is_said_and_over_when_there_is_room() {
    let Some(api) = api_binary() else { return };
    let stack = ByHand::new(api, None, 2).await;
    let (api, worker) = (stack.api(), stack.worker());
    stack.register().await;
    let (x, y, z) = (
        stack.approved("x", 5, &["c1"]).await,
        stack.approved("y", 5, &["c2"]).await,
        stack.approved("z", 5, &["c1"]).await,
    );
    x.instantiate().await.unwrap();
    x.until_instantiated().await;
    // c2 was never talked to: the worker has to open a connection.
    worker.limit("nofile", "3");
    y.instantiate().await.unwrap();
    y.until("the cause is in the status", |s| {
        let problems = &s.head.problems;
        problems.iter().any(|p| p.message.contains("open files"))
    })
    .await;
    worker.limit("nofile", "1024");
    y.until_instantiated().await;
    // The api answers those it knows; a newcomer waits until there is room.
    api.limit("nofile", "3");
    let newcomer = tonic::transport::Endpoint::from_shared(format!("http://{}", stack.grpc));
    let newcomer = tests::Dig::new(newcomer.unwrap().connect_lazy(), "y");
    let asked = tokio::spawn(async move { newcomer.terminate().await });
    let known = x.terminate().await;
    assert!(
        known.as_ref().is_ok() || known.as_ref().is_err_and(|s| s.code() == Code::Unavailable),
        "{known:?}"
    );
    api.limit("nofile", "1024");
    if asked.await.unwrap().is_err() {
        y.terminate().await.unwrap();
    }
    x.terminate().await.unwrap();
    // A full disk closes the database; to open it again, there has to be room in the table.
    api.limit("nofile", "3");
    api.limit("fsize", "4096");
    let next = "look at its folder's rights and at the limit of open files";
    until_refused(&z, "STORE_NOT_OPENED", next).await;
    api.limit("fsize", "unlimited");
    until_refused(&z, "STORE_NOT_OPENED", next).await;
    api.limit("nofile", "1024");
    until("the same request is accepted", || async {
        z.instantiate_as("once").await.ok()
    })
    .await;
    z.until_instantiated().await;
    z.terminate().await.unwrap();
    for dig in [&x, &y, &z] {
        dig.until_terminated().await;
    }
    assert_eq!(
        number_on(&stack, "c1").await + number_on(&stack, "c2").await,
        0
    );
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// Gives everything in a folder to nobody, and takes the right to write or gives it back.
fn writable(dir: &Path, writable: bool) {
    let all = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for path in all.chain([dir.to_owned()]) {
        if is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mode = match (path.is_dir(), writable) {
            (true, true) => 0o700,
            (true, false) => 0o500,
            (false, true) => 0o600,
            (false, false) => 0o400,
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Programs as a user who is bound by the rights of files, where that user may reach them.
struct BoundByRights(tempfile::TempDir);

impl BoundByRights {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    fn command(&self, program: &Path) -> Command {
        if !is_root() {
            return unlimited(program);
        }
        let mut reachable = program.to_owned();
        if program.is_absolute() {
            reachable = self.0.path().join(program.file_name().unwrap());
            std::fs::copy(program, &reachable).unwrap();
        }
        let plain = unlimited(&reachable);
        let mut command = Command::new("setpriv");
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
        command.arg(plain.get_program()).args(plain.get_args());
        command
    }
}

/// Until a verb is refused for that reason: the causes before it are causes of the store, too.
async fn until_refused(dig: &Dig, reason: &str, next: &str) {
    until(reason, || async {
        let refused = dig.instantiate_as("once").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        let info = refused.get_details_error_info().unwrap();
        assert!(info.reason.starts_with("STORE_"), "{refused:?}");
        let found = info.reason == reason;
        assert!(!found || refused.message().contains(next), "{refused:?}");
        found.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_read_only_at_the_start_is_said_and_over_when_it_may_be_written() {
    let Some(api) = api_binary() else { return };
    let stack = ByHand::new(api, None, 1).await;
    let bound = BoundByRights::new();
    let mut first = stack.api();
    stack.register().await;
    let x = stack.approved("x", 5, &["c1"]).await;
    first.signal("TERM");
    first.ended().await;
    writable(stack.dir.path(), false);
    let api = stack.api_as(bound.command(&stack.api));
    let worker = stack.worker_as(bound.command(Path::new(WORKER)));
    until_refused(&x, "STORE_READ_ONLY", MAKE_WRITABLE).await;
    let waits = |process: &Process| process.log().contains("waiting for the store");
    until("both say it", || async {
        (waits(&api) && waits(&worker)).then_some(())
    })
    .await;
    writable(stack.dir.path(), true);
    until("the same request is accepted", || async {
        x.instantiate_as("once").await.ok()
    })
    .await;
    let status = x.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 5);
    x.terminate().await.unwrap();
    x.until_terminated().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_opened_again_while_read_only_is_said_and_over_when_it_may_be_written() {
    let Some(api) = api_binary() else { return };
    let stack = ByHand::new(api, None, 1).await;
    let bound = BoundByRights::new();
    writable(stack.dir.path(), true);
    let api = stack.api_as(bound.command(&stack.api));
    stack.register().await;
    let x = stack.approved("x", 5, &["c1"]).await;
    // What is open stays writable, whatever the rights become; a full disk closes it.
    writable(stack.dir.path(), false);
    let size = |limit| api.limit_as(bound.command(Path::new("prlimit")), "fsize", limit);
    size("4096");
    until_refused(&x, "STORE_NOT_WRITTEN", "look at the disk").await;
    size("unlimited");
    until_refused(&x, "STORE_READ_ONLY", MAKE_WRITABLE).await;
    x.status().await;
    writable(stack.dir.path(), true);
    until("the same request is accepted", || async {
        x.instantiate_as("once").await.ok()
    })
    .await;
    let _worker = stack.worker();
    let status = x.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 5);
}
