//! A full disk, an exhausted file table: a clear error, nothing lost that was
//! answered, and all goes on when the cause is gone.
//!
//! What stands for what: a limit on the size of files (`RLIMIT_FSIZE`, below what the database has
//! by now) for a full disk, since it needs no mount; a limit on descriptors (`RLIMIT_NOFILE`, below
//! what is open by now) for an exhausted file table.

use super::{ByHand, R, api_binary};
use tests::{
    clusters::{client, config_maps},
    until,
};
use tonic::Code;

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
    let (x, y) = (
        stack.approved("x", 5, &["c1"]).await,
        stack.approved("y", 5, &["c2"]).await,
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
    for dig in [&x, &y] {
        dig.until_terminated().await;
    }
    assert_eq!(
        number_on(&stack, "c1").await + number_on(&stack, "c2").await,
        0
    );
}
