//! A context that is driven in slices (more than 2,000 rows and more than 20 bundles), with a dead
//! cluster in it.

use proto::v1::{AppClusterStatus, ContextState, ResourceState as R, StatusHead};
use sandbox::host::FaultKind;
use tests::{
    Stack,
    clusters::{client, config_maps},
    documents::{App, config_maps as maps, on},
    histories,
};
use workflows::limits::{INLINE_BUNDLES, INLINE_ROWS};

const CLUSTERS: usize = 22;
const DEAD: &str = "c3";

fn named(prefix: &str, number: usize) -> String {
    let names: Vec<String> = (0..number).map(|i| format!("{prefix}{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    maps(&names)
}

/// Where an app stands, the dead cluster apart.
fn elsewhere<'a>(head: &'a StatusHead, app: &str) -> impl Iterator<Item = &'a AppClusterStatus> {
    let app = head.apps.iter().find(|a| a.name == app).unwrap();
    let dead = format!("sandbox+{DEAD}");
    app.clusters.iter().filter(move |c| c.cluster != dead)
}

fn deleted(of: &AppClusterStatus) -> i64 {
    of.deployed_counts.as_ref().map_or(0, |c| c.deleted)
}

fn applied(of: &AppClusterStatus) -> i64 {
    of.deployed_counts.as_ref().map_or(0, |c| c.applied)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_cluster_holds_up_nobody_else_in_a_context_of_slices() {
    let stack = Stack::start(CLUSTERS).await;
    let clusters: Vec<String> = (1..=CLUSTERS).map(|i| format!("c{i}")).collect();
    let clusters: Vec<&str> = clusters.iter().map(String::as_str).collect();
    let apps = [
        App::new("db", named("d", 40)),
        App::new("web", named("w", 20)).after("{app: db, opStatus: Deployed}"),
        App::new("free", named("f", 40)),
    ];
    let rows = 100 * CLUSTERS;
    assert!(rows > INLINE_ROWS && apps.len() * CLUSTERS > INLINE_BUNDLES);

    stack.fault(DEAD, FaultKind::BlackHole);
    let dig = stack.approved("x", &apps, &on(&clusters)).await;
    dig.instantiate().await.unwrap();
    // An app starts when what it depends on is deployed on all its clusters: web has to wait.
    dig.until_summary("all but the dead cluster is Applied", |head| {
        let done = |app: &str| elsewhere(head, app).all(|c| applied(c) == 40);
        done("db") && done("free")
    })
    .await;
    let status = dig.status().await;
    assert_eq!(status.context(), Some(ContextState::Instantiating));
    let web = status.resources.iter().filter(|r| r.app == "web");
    for row in web {
        assert_eq!(row.blocked_by, "app db: not deployed yet", "{row:?}");
    }
    assert_eq!(status.state(DEAD, "f1"), R::Retrying);
    stack.heal(DEAD).await;
    dig.until_settled().await;
    let status = dig.status().await;
    assert_eq!(status.context(), Some(ContextState::Instantiated));
    assert_eq!(status.count(R::Applied), rows);

    stack.fault(DEAD, FaultKind::BlackHole);
    dig.terminate().await.unwrap();
    dig.until_summary("all but the dead cluster is Deleted", |head| {
        let done = |app: &str, all| elsewhere(head, app).all(|c| deleted(c) == all);
        done("db", 40) && done("web", 20) && done("free", 40)
    })
    .await;
    let status = dig.status().await;
    assert_eq!(status.context(), Some(ContextState::Terminating));
    assert_eq!(status.state(DEAD, "w1"), R::Retrying);
    let waits = &status.resource(DEAD, "d1").blocked_by;
    assert_eq!(waits, "app web: not deleted yet");
    stack.heal(DEAD).await;
    dig.until_settled().await;
    let status = dig.status().await;
    assert_eq!(status.context(), Some(ContextState::Terminated));
    for cluster in clusters {
        let client = client(&stack.host.cluster(cluster).unwrap().kubeconfig).await;
        assert!(config_maps(&client).await.is_empty(), "{cluster}");
    }
    // Parents and slices, of both lives' halves.
    let runs = histories::of_small_events(&stack).await;
    assert_eq!((runs["Instantiate"], runs["Terminate"]), (1, 1), "{runs:?}");
    assert!(runs["Slice"] >= 2 * apps.len(), "{runs:?}");
    stack.end().await;
}
