//! The loop of a lifecycle when it turns often: long histories, proofs that find something again.

use super::engine::{Row, World, hosted, signal, until};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use temporal::{Client, embedded::DevServer, embedded::Running};
use workflows::contract::{INSTANTIATE, TERMINATE};

async fn server() -> (Running, Client) {
    let server = DevServer {
        binary: tests::stack::temporal_cli(),
        file: None,
        port: 0,
        ui_port: None,
        log: None,
    };
    let server = server.start().await.unwrap();
    let client = server.client().await.unwrap();
    (server, client)
}

fn world(rows: i32, row: &Row) -> Arc<Mutex<World>> {
    let rows = (0..rows).map(|i| (i, row.clone())).collect();
    Arc::new(Mutex::new(World {
        fence: 1,
        rows,
        ..World::default()
    }))
}

async fn closed(client: &Client, id: &str) {
    let closed = || async { (!client.is_running(id).await.unwrap()).then_some(()) };
    tests::until("the workflow is closed", closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drive_that_grows_long_goes_on_in_a_new_run_and_sends_nothing_twice() {
    let (_server, client) = server().await;
    // Each repeat is a marker and a timer: together more than Temporal suggests for one history.
    let world = world(
        60,
        &Row {
            again: 40,
            ..Row::default()
        },
    );
    let host = hosted(&client, "long", &world).await;
    signal(&client, "long", INSTANTIATE, "long-1", 1).await;
    until("settled", &world, |w| w.settled).await;
    closed(&client, "long-1").await;
    {
        let w = world.lock().unwrap();
        assert!(w.runs > 1, "one run did it all");
        assert!(w.rows.values().all(|r| r.applied && r.sends == 1));
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("history.json");
    std::fs::write(&file, client.history_json("long-1").await.unwrap()).unwrap();
    let replayed = worker::replay(&file).await;
    assert!(replayed.same(), "{replayed:?}");
    host.shutdown();
    host.ended().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_finds_something_again_and_again_turns_ever_more_slowly() {
    let (_server, client) = server().await;
    let world = world(3, &Row::default());
    {
        let mut w = world.lock().unwrap();
        w.deleting = true;
        w.found = 6;
    }
    let host = hosted(&client, "proof", &world).await;
    signal(&client, "proof", TERMINATE, "proof-1", 1).await;
    until("settled", &world, |w| w.settled).await;
    closed(&client, "proof-1").await;
    let history = client.history_json("proof-1").await.unwrap();
    let history: Value = serde_json::from_slice(&history).unwrap();
    let timers: Vec<&str> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["timerStartedEventAttributes"]["startToFireTimeout"].as_str())
        .collect();
    let grown = ["0.020s", "0.040s", "0.080s", "0.160s", "0.320s", "0.640s"];
    assert_eq!(timers, grown);
    host.shutdown();
    host.ended().await.unwrap();
}
