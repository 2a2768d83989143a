//! Api and worker by hand on PostgreSQL.

use super::{ByHand, R, api_binary, postgres};
use tests::clusters::{client, config_maps};

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_api_and_worker_are_killed_and_the_lifecycle_goes_on() {
    let (Some(api), Some(store)) = (api_binary(), postgres::database().await) else {
        return;
    };
    let stack = ByHand::new(api, Some(store), 2).await;
    let mut first = (stack.api(), stack.worker());
    stack.register().await;
    let dig = stack.approved("x", 150, &["c1", "c2"]).await;
    dig.instantiate().await.unwrap();
    dig.until("a part of it Applied", |s| s.count(R::Applied) > 30)
        .await;
    for process in [&mut first.0, &mut first.1] {
        process.child.kill().unwrap();
        process.child.wait().unwrap();
    }
    let _second = (stack.api(), stack.worker());
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), 300);
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    for cluster in stack.host.clusters() {
        let client = client(&cluster.kubeconfig).await;
        assert!(config_maps(&client).await.is_empty(), "{}", cluster.name);
    }
    stack.host.shutdown().await;
}
