//! Every fault, in front of every kind of backend, over HTTP/1.1 and HTTP/2.

use std::time::{Duration, Instant};

use http::Method;
use sandbox::host::{FINALIZER, Fault, FaultKind, Verb};

use super::host_peer::{BOTH, Speaks, config_map, handshake};
use super::host_world::{until, worlds};

#[tokio::test]
async fn a_black_hole_answers_nothing_on_old_and_new_connections_until_healed() {
    for world in worlds().await {
        for speaks in BOTH {
            world.host.clear_log("c1").unwrap();
            let mut peer = world.peer(speaks).await;
            assert_eq!(peer.get("/version").await.unwrap().0, 200);
            world.fault(FaultKind::BlackHole);

            let hello = tokio::spawn(async move { peer.get("/version").await });
            world.received(2).await;
            let address = world.address().clone();
            let late = tokio::time::timeout(Duration::from_millis(100), async {
                handshake(&address, speaks).await.map(|_| ())
            });
            assert!(late.await.is_err(), "{}: a hole shook hands", world.label);
            assert!(!hello.is_finished(), "{}: a hole answered", world.label);

            world.host.heal("c1").await.unwrap();
            assert!(hello.await.unwrap().is_err(), "{}: answered", world.label);
            assert_eq!(world.log().last().unwrap().code, None);
            let mut fresh = world.peer(speaks).await;
            assert_eq!(fresh.get("/version").await.unwrap().0, 200);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn an_answer_on_its_way_is_lost_in_a_black_hole() {
    for world in worlds().await {
        for speaks in BOTH {
            let name = format!("way-{speaks:?}").to_lowercase();
            world.host.clear_log("c1").unwrap();
            world.fault(Fault::from(FaultKind::Late { ms: 150 }).verb(Verb::Apply));
            let mut peer = world.peer(speaks).await;
            let sent = name.clone();
            let apply = tokio::spawn(async move { peer.apply(&sent).await });
            world.received(1).await;
            world.fault(FaultKind::BlackHole);
            until(|| async { world.object(&name).await.is_some() }).await;
            world.host.heal("c1").await.unwrap();
            assert!(apply.await.unwrap().is_err(), "{}", world.label);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn idle_connections_survive_a_black_hole_that_nobody_fell_into() {
    for world in worlds().await {
        for speaks in BOTH {
            let mut peer = world.peer(speaks).await;
            assert_eq!(peer.get("/version").await.unwrap().0, 200);
            world.fault(FaultKind::BlackHole);
            world.host.heal("c1").await.unwrap();
            assert_eq!(peer.get("/version").await.unwrap().0, 200);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_reset_ends_old_connections_and_every_request_on_new_ones() {
    for world in worlds().await {
        for speaks in BOTH {
            let mut old = world.peer(speaks).await;
            assert_eq!(old.get("/version").await.unwrap().0, 200);
            world.fault(FaultKind::Reset);
            old.ended().await;
            for name in ["version", "object"] {
                let mut peer = world.peer(speaks).await;
                let answer = match name {
                    "version" => peer.get("/version").await,
                    _ => peer.apply("reset").await,
                };
                assert!(answer.is_err(), "{}: {name} answered", world.label);
                assert_eq!(world.log().last().unwrap().code, None);
            }
            assert_eq!(world.object("reset").await, None, "{}", world.label);
            world.host.heal("c1").await.unwrap();
            let mut fresh = world.peer(speaks).await;
            assert_eq!(fresh.get("/version").await.unwrap().0, 200);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_reset_is_a_tcp_reset() {
    let world = worlds().await.remove(0);
    world.fault(Fault::from(FaultKind::Reset).verb(Verb::Apply));
    let mut peer = world.peer(Speaks::Http1).await;
    let error = peer.apply("x").await.unwrap_err();
    let mut causes = std::iter::successors(std::error::Error::source(&error), |e| e.source());
    let reset = causes.any(|cause| {
        let cause = cause.downcast_ref::<std::io::Error>();
        cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::ConnectionReset)
    });
    assert!(reset, "{error:?}");
    world.end().await;
}

#[tokio::test]
async fn a_fault_that_happens_once_happens_once_and_leaves_version_alone() {
    for world in worlds().await {
        for speaks in BOTH {
            for kind in [FaultKind::Reset, FaultKind::DropReply] {
                world.fault(Fault::from(kind).times(1));
                let mut peer = world.peer(speaks).await;
                assert_eq!(peer.get("/version").await.unwrap().0, 200);
                assert!(peer.apply("once").await.is_err(), "{}", world.label);
                let mut peer = world.peer(speaks).await;
                let again = peer.apply("once").await.unwrap().0;
                assert!(again.is_success(), "{}: {again}", world.label);
                assert!(world.host.faults("c1").unwrap().is_empty());
            }
        }
        world.end().await;
    }
}

#[tokio::test]
async fn latency_delays_and_a_client_that_leaves_takes_its_request_along() {
    for world in worlds().await {
        for speaks in BOTH {
            let wait = Duration::from_millis(150);
            let (left, stayed) = (format!("left-{speaks:?}"), format!("stayed-{speaks:?}"));
            let (left, stayed) = (left.to_lowercase(), stayed.to_lowercase());
            world.host.clear_log("c1").unwrap();
            world.fault(FaultKind::Latency { ms: 150 });
            let mut leaver = world.peer(speaks).await;
            let name = left.clone();
            let leaving = tokio::spawn(async move { leaver.apply(&name).await });
            world.received(1).await;
            leaving.abort();
            assert!(leaving.await.is_err());

            let mut peer = world.peer(speaks).await;
            let start = Instant::now();
            assert_eq!(peer.apply(&stayed).await.unwrap().0, 201);
            assert!(start.elapsed() >= wait, "{}: no delay", world.label);
            assert_eq!(world.object(&left).await, None, "{}", world.label);
            world.host.heal("c1").await.unwrap();
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_late_request_is_executed_after_its_client_left() {
    for world in worlds().await {
        for speaks in BOTH {
            let name = format!("late-{speaks:?}").to_lowercase();
            world.host.clear_log("c1").unwrap();
            world.fault(Fault::from(FaultKind::Late { ms: 400 }).named(name.clone()));
            let mut leaver = world.peer(speaks).await;
            let sent = name.clone();
            let leaving = tokio::spawn(async move { leaver.apply(&sent).await });
            world.received(1).await;
            leaving.abort();
            assert!(leaving.await.is_err());
            assert_eq!(world.object(&name).await, None, "{}: early", world.label);
            // A heal does not call back what is in the network already.
            world.host.heal("c1").await.unwrap();
            until(|| async { world.object(&name).await.is_some() }).await;
            until(|| async { world.log()[0].code == Some(201) }).await;
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_status_is_answered_to_whom_it_is_meant_for_and_as_often() {
    for world in worlds().await {
        for speaks in BOTH {
            let mut peer = world.peer(speaks).await;
            for (code, reason) in [
                (401, "Unauthorized"),
                (403, "Forbidden"),
                (409, "Conflict"),
                (422, "Invalid"),
                (429, "TooManyRequests"),
                (500, "InternalError"),
                (503, "ServiceUnavailable"),
            ] {
                let fault = Fault::from(FaultKind::Status { code })
                    .verb(Verb::Apply)
                    .of_kind("ConfigMap")
                    .named("st")
                    .times(1);
                world.fault(fault);
                assert!(peer.apply("other").await.unwrap().0.is_success());
                assert_ne!(peer.get(&config_map("st")).await.unwrap().0, code);
                let (got, body) = peer.apply("st").await.unwrap();
                assert_eq!((got.as_u16(), &body["reason"]), (code, &reason.into()));
                assert_eq!(body["kind"], "Status");
                assert_eq!(body["details"]["name"], "st");
                assert_eq!(world.log().last().unwrap().code, Some(code));
            }
            assert_eq!(world.object("st").await, None);
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_dropped_reply_was_applied() {
    for world in worlds().await {
        for speaks in BOTH {
            let name = format!("drop-{speaks:?}").to_lowercase();
            world.fault(Fault::from(FaultKind::DropReply).verb(Verb::Apply));
            let mut peer = world.peer(speaks).await;
            assert!(peer.apply(&name).await.is_err(), "{}", world.label);
            assert!(world.object(&name).await.is_some(), "{}", world.label);
            assert_eq!(world.log().last().unwrap().code, None);
            world.host.heal("c1").await.unwrap();
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_hanging_finalizer_keeps_objects_until_the_heal() {
    for world in worlds().await {
        for speaks in BOTH {
            let mut peer = world.peer(speaks).await;
            // One object from before the fault, one applied and one created while it is on.
            let names = ["before", "applied", "created"];
            peer.apply("before").await.unwrap();
            world.fault(FaultKind::HangFinalizer);
            peer.apply("applied").await.unwrap();
            let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "created", "namespace": "default"}});
            let content = "application/json";
            let path = "/api/v1/namespaces/default/configmaps";
            let sent = peer.send(Method::POST, path, content, body.to_string());
            assert_eq!(sent.await.unwrap().0, 201);
            for name in names {
                assert!(peer.delete(&config_map(name)).await.unwrap().0.is_success());
                let object = world.object(name).await.unwrap();
                let metadata = &object["metadata"];
                assert!(metadata["deletionTimestamp"].is_string(), "{metadata}");
                assert_eq!(metadata["finalizers"], serde_json::json!([FINALIZER]));
            }
            let healed = world.host.heal("c1").await.unwrap();
            assert_eq!((healed.faults, healed.finalizers), (1, 3));
            for name in names {
                assert_eq!(world.object(name).await, None, "{}: {name}", world.label);
            }
        }
        world.end().await;
    }
}

#[tokio::test]
async fn a_hanging_finalizer_counts_objects_and_keeps_to_its_filter() {
    for world in worlds().await {
        let mut peer = world.peer(Speaks::Http1).await;
        world.fault(
            Fault::from(FaultKind::HangFinalizer)
                .verb(Verb::Apply)
                .times(1),
        );
        for name in ["first", "first", "second"] {
            peer.apply(name).await.unwrap();
        }
        for (name, hangs) in [("first", true), ("second", false)] {
            peer.delete(&config_map(name)).await.unwrap();
            let there = world.object(name).await.is_some();
            assert_eq!(there, hangs, "{}: {name}", world.label);
        }
        let healed = world.host.heal("c1").await.unwrap();
        assert_eq!(healed.finalizers, 1);
        assert_eq!(world.object("first").await, None);
        world.end().await;
    }
}
