//! What stays over a restart, who is let in, what is written down, and how many clusters fit.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use sandbox::Host;
use sandbox::control::{Client, ClientError};
use sandbox::host::{
    BackendSpec, ClusterSpec, Error, FINALIZER, Fault, FaultKind, HostConfig, Verb,
};
use serde_json::json;
use tempfile::TempDir;

use super::host_peer::{BOTH, Peer, Speaks, config_map};
use super::host_pocket::Pocket;
use super::host_world::{World, config, pocket, until, worlds};

fn in_dir(dir: &TempDir, config: HostConfig) -> HostConfig {
    HostConfig {
        dir: Some(dir.path().to_owned()),
        ..config
    }
}

#[tokio::test]
async fn only_the_clusters_own_token_is_let_in() {
    for world in worlds().await {
        for speaks in BOTH {
            for token in ["", "wrong"] {
                let mut peer = world.peer(speaks).await.with_token(token);
                let (code, body) = peer.get("/version").await.unwrap();
                assert_eq!((code.as_u16(), &body["kind"]), (401, &json!("Status")));
                assert_eq!(body["reason"], "Unauthorized");
            }
        }
        world.end().await;
    }
}

#[tokio::test]
async fn the_log_says_what_was_asked_and_answered() {
    for world in worlds().await {
        let mut peer = world.peer(Speaks::Http1).await;
        let before = jiff::Timestamp::now();
        peer.get("/version").await.unwrap();
        peer.apply("a").await.unwrap();
        peer.get(&config_map("a")).await.unwrap();
        peer.delete(&config_map("a")).await.unwrap();
        peer.get(&config_map("a")).await.unwrap();
        let after = jiff::Timestamp::now();
        let log = world.log();
        let lines: Vec<serde_json::Value> = log
            .iter()
            .map(|entry| {
                assert!(before.as_millisecond() <= entry.time.as_millisecond());
                assert!(entry.time <= after);
                let mut line = serde_json::to_value(entry).unwrap();
                let time = line["time"].take();
                assert_eq!(
                    time.as_str().unwrap().len(),
                    "2026-01-01T00:00:00.000Z".len()
                );
                line
            })
            .collect();
        let config_map = |verb, code, manager: Option<&str>| {
            json!({"time": null, "verb": verb, "kind": "ConfigMap", "namespace": "default",
                "name": "a", "code": code, "fieldManager": manager})
        };
        assert_eq!(
            lines,
            [
                json!({"time": null, "verb": "get", "kind": null, "namespace": null, "name": null,
                    "code": 200, "fieldManager": null, "path": "/version"}),
                config_map("apply", 201, Some("tester")),
                config_map("get", 200, None),
                config_map("delete", 200, None),
                config_map("get", 404, None),
            ],
            "{}",
            world.label
        );
        world.end().await;
    }
}

#[tokio::test]
async fn kinds_that_are_not_built_in_are_asked_from_the_cluster() {
    let world = World::of("pocket", pocket()).await;
    let mut peer = world.peer(Speaks::Http2).await;
    world.fault(Fault::from(FaultKind::Status { code: 403 }).of_kind("Widget"));
    let path = "/apis/example.test/v1/namespaces/default/widgets/w";
    assert_eq!(peer.get(path).await.unwrap().0, 403);
    assert_eq!(world.log()[0].kind.as_deref(), Some("Widget"));
    let unknown = "/apis/example.test/v1/namespaces/default/gadgets/g";
    assert_eq!(peer.get(unknown).await.unwrap().0, 404);
    assert_eq!(world.log()[1].kind, None);
    world.end().await;
}

#[tokio::test]
async fn a_restart_keeps_ports_authority_tokens_and_objects() {
    let dir = TempDir::new().unwrap();
    let both = || in_dir(&dir, HostConfig::simulated(2));
    let host = Host::start(both()).await.unwrap();
    let before = host.clusters();
    let mut peer = Peer::connect(&before[1], Speaks::Http1).await;
    assert_eq!(peer.apply("kept").await.unwrap().0, 201);
    host.shutdown().await;

    let host = Host::start(both()).await.unwrap();
    assert_eq!(host.clusters(), before);
    let mut peer = Peer::connect(&before[1], Speaks::Http1).await;
    assert_eq!(peer.get(&config_map("kept")).await.unwrap().0, 200);
    let kubeconfig = before[1].kubeconfig_file.as_ref().unwrap();
    let written = std::fs::read_to_string(kubeconfig).unwrap();
    assert_eq!(written, before[1].kubeconfig);
    for secret in [
        "kubeconfig/c2.yaml",
        "sandbox/ca.key",
        "sandbox/promises.json",
    ] {
        let mode = std::fs::metadata(dir.path().join(secret)).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600, "{secret}");
    }
    host.shutdown().await;
}

#[tokio::test]
async fn a_directory_is_served_once_and_a_promised_port_is_not_exchanged() {
    let dir = TempDir::new().unwrap();
    let start = || {
        Host::start(HostConfig {
            handover: Duration::ZERO,
            ..in_dir(&dir, config(pocket()))
        })
    };
    let host = start().await.unwrap();
    let address = host.cluster("c1").unwrap().clone();
    assert!(matches!(start().await.err(), Some(Error::InUse(_))));
    host.shutdown().await;

    let port = address.server.rsplit(':').next().unwrap().parse().unwrap();
    let thief = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let taken = start().await.err();
    assert!(
        matches!(&taken, Some(Error::PortTaken { port: taken, .. }) if *taken == port),
        "{taken:?}"
    );
    drop(thief);
    let host = start().await.unwrap();
    assert_eq!(*host.cluster("c1").unwrap(), address);
    host.shutdown().await;
}

#[tokio::test]
async fn a_successor_waits_for_the_process_before_it() {
    let dir = TempDir::new().unwrap();
    let start = || Host::start(in_dir(&dir, config(pocket())));
    let first = start().await.unwrap();
    let address = first.cluster("c1").unwrap().clone();
    let (second, ()) = tokio::join!(start(), first.shutdown());
    let second = second.unwrap();
    assert_eq!(*second.cluster("c1").unwrap(), address);
    second.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_nothing_that_is_stuck() {
    for world in worlds().await {
        world.fault(Fault::from(FaultKind::BlackHole).verb(Verb::Apply));
        world.fault(Fault::from(FaultKind::Late { ms: 3_600_000 }).verb(Verb::Get));
        let mut stuck = Vec::new();
        for speaks in BOTH {
            let mut peer = world.peer(speaks).await;
            stuck.push(tokio::spawn(async move { peer.apply("x").await }));
            let mut peer = world.peer(speaks).await;
            let path = config_map("x");
            stuck.push(tokio::spawn(async move { peer.get(&path).await }));
        }
        world.received(4).await;
        world.end().await;
        for request in stuck {
            assert!(request.await.unwrap().is_err());
        }
    }
}

#[tokio::test]
async fn a_wished_port_that_is_taken_gives_way() {
    let thief = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = thief.local_addr().unwrap().port();
    let spec = ClusterSpec {
        port: Some(port),
        ..pocket()
    };
    let world = World::of("wish", spec).await;
    assert!(!world.address().server.ends_with(&format!(":{port}")));
    assert_eq!(
        world
            .peer(Speaks::Http1)
            .await
            .get("/version")
            .await
            .unwrap()
            .0,
        200
    );
    world.end().await;
}

#[tokio::test]
async fn finalizers_of_a_killed_process_come_off_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    let backend = Arc::new(Pocket::default());
    let spec = || ClusterSpec::new("c1", BackendSpec::Other(backend.clone()));
    let host = Host::start(in_dir(&dir, config(spec()))).await.unwrap();
    host.fault("c1", FaultKind::HangFinalizer).unwrap();
    let mut peer = Peer::connect(host.cluster("c1").unwrap(), Speaks::Http1).await;
    peer.apply("x").await.unwrap();
    let object = peer.get(&config_map("x")).await.unwrap().1;
    assert_eq!(object["metadata"]["finalizers"], json!([FINALIZER]));
    host.shutdown().await;

    let host = Host::start(in_dir(&dir, config(spec()))).await.unwrap();
    let address = host.cluster("c1").unwrap();
    until(|| async {
        let mut peer = Peer::connect(address, Speaks::Http1).await;
        let object = peer.get(&config_map("x")).await.unwrap().1;
        object["metadata"]["finalizers"].is_null()
    })
    .await;
    host.shutdown().await;
}

#[tokio::test]
async fn names_that_could_leave_the_directory_are_refused() {
    for names in [&["../x"][..], &[""], &[".x"], &["a", "a"], &["a/b"]] {
        let clusters = names.iter().map(|name| ClusterSpec::simulated(*name));
        let config = HostConfig {
            clusters: clusters.collect(),
            ..HostConfig::default()
        };
        let refused = Host::start(config).await.err();
        assert!(matches!(refused, Some(Error::Name(_))), "{names:?}");
    }
}

#[tokio::test]
async fn the_control_api_does_what_the_host_does() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(
        Client::from_dir(dir.path()).err(),
        Some(ClientError::NotServed { .. })
    ));
    let host = Host::start(HostConfig {
        control: true,
        ..in_dir(&dir, config(pocket()))
    });
    let host = host.await.unwrap();
    let client = Client::from_dir(dir.path()).unwrap();
    let mut peer = Peer::connect(host.cluster("c1").unwrap(), Speaks::Http1).await;

    let fault = Fault::from(FaultKind::Status { code: 503 }).verb(Verb::Apply);
    assert_eq!(
        client.fault("c1", &fault).await.unwrap(),
        std::slice::from_ref(&fault)
    );
    let clusters = client.clusters().await.unwrap();
    assert_eq!(clusters[0].name, "c1");
    assert_eq!(clusters[0].faults, [fault]);
    assert!(clusters[0].kubeconfig.as_ref().unwrap().is_file());
    assert_eq!(peer.apply("x").await.unwrap().0, 503);
    assert_eq!(client.heal("c1").await.unwrap().faults, 1);
    assert_eq!(peer.apply("x").await.unwrap().0, 201);
    assert_eq!(client.log("c1").await.unwrap(), host.log("c1").unwrap());
    client.clear_log("c1").await.unwrap();
    assert!(host.log("c1").unwrap().is_empty());

    let missing = client.heal("c9").await.err();
    assert!(
        matches!(&missing, Some(ClientError::Refused { code: 404, message }) if message.contains("c9")),
        "{missing:?}"
    );
    let stranger = sandbox::host::ControlAddress {
        token: "guess".to_owned(),
        ..host.control().unwrap().clone()
    };
    let refused = Client::new(&stranger).unwrap().clusters().await.err();
    assert!(matches!(
        refused,
        Some(ClientError::Refused { code: 401, .. })
    ));
    host.shutdown().await;
    let gone = client.clusters().await.err();
    assert!(matches!(gone, Some(ClientError::Unreachable { .. })));
}

#[tokio::test]
async fn distance_is_not_a_fault_and_not_healed() {
    let spec = ClusterSpec {
        distance: Duration::from_millis(80),
        ..pocket()
    };
    let world = World::of("far", spec).await;
    assert_eq!(world.host.heal("c1").await.unwrap().faults, 0);
    let mut peer = world.peer(Speaks::Http1).await;
    let start = Instant::now();
    peer.get("/version").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(80));
    world.end().await;
}

#[tokio::test]
async fn a_proxy_whose_server_is_down_is_a_closed_connection() {
    let dir = TempDir::new().unwrap();
    let real = Host::start(in_dir(&dir, config(pocket()))).await.unwrap();
    let kubeconfig = real.cluster("c1").unwrap().kubeconfig_file.clone().unwrap();
    real.shutdown().await;
    let world = World::of("orphan", ClusterSpec::proxy("c1", kubeconfig)).await;
    for speaks in BOTH {
        let mut peer = world.peer(speaks).await;
        assert!(
            peer.send(Method::GET, "/version", "", String::new())
                .await
                .is_err()
        );
    }
    world.end().await;
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "the measurement is the point")]
async fn five_hundred_clusters_fit_in_one_process() {
    let dir = TempDir::new().unwrap();
    let start = Instant::now();
    let many = in_dir(&dir, HostConfig::simulated(500));
    let host = Host::start(many.clone()).await.unwrap();
    let fresh = start.elapsed();
    let clusters = host.clusters();
    assert_eq!(clusters.len(), 500);
    let start = Instant::now();
    for address in &clusters {
        let mut peer = Peer::connect(address, Speaks::Http1).await;
        assert_eq!(peer.get("/version").await.unwrap().0, 200);
    }
    let asked = start.elapsed();
    host.shutdown().await;
    let start = Instant::now();
    let host = Host::start(many).await.unwrap();
    assert_eq!(host.clusters(), clusters);
    println!(
        "500 clusters: {fresh:?} on a new directory, {:?} on a used one; {asked:?} to dial and ask all",
        start.elapsed()
    );
    host.shutdown().await;
}
