//! Status and events, read once and watched.

use crate::{
    answers::{news, resource, status_parts},
    fake::Script,
    run::against,
};
use proto::v1::{ContextState, Event, ResourceState};
use tonic::Status;

#[tokio::test]
async fn status_in_json_has_every_field_of_the_contract() {
    let (ran, _) = against(
        Script {
            status: status_parts(),
            ..Script::default()
        },
        "status web -o json",
    )
    .await;
    let status: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let keys = |value: &serde_json::Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        keys(&status),
        "actions allowedVerbs apps context deployedCounts name pendingChanges problems project readyAsOf readyCounts state"
    );
    assert_eq!(
        keys(&status["context"]),
        "blockedBy id revision startedAt state"
    );
    assert_eq!(
        keys(&status["deployedCounts"]),
        "Applied Deleted Failed Pending Retrying"
    );
    assert_eq!(
        keys(&status["problems"][0]),
        "app attempts blockedBy cluster code count goal message nextAttemptAt nextStep reason resource since"
    );
    let resource = &status["apps"][0]["clusters"][0]["resources"][0];
    assert_eq!(
        keys(resource),
        "attempts blockedBy deployedStatus goal group kept kind lastError name namespace nextAttemptAt readyReason readyStatus since version"
    );
    assert_eq!(resource["since"], "2023-11-14T22:13:20.005Z");
    for absent in [
        "readyStatus",
        "nextAttemptAt",
        "lastError",
        "blockedBy",
        "kept",
    ] {
        assert!(resource[absent].is_null(), "{absent}");
    }
    assert!(status["readyCounts"].is_null() && status["context"]["blockedBy"].is_null());
}

#[tokio::test]
async fn status_for_people_begins_with_the_problems() {
    let (ran, _) = against(
        Script {
            status: status_parts(),
            ..Script::default()
        },
        "status web",
    )
    .await;
    assert_eq!(
        ran.out,
        "default/web  Instantiated
  context    InstantiateFailed (revision 1, started - ago, c1)
  resources  1 of 3 applied, 1 pending, 1 failed on 1 cluster
  allowed    terminate

PROBLEMS
  - acme+a, back: apply ConfigMap/shop/one: 403: not allowed [forbidden]
      next: grant it

back
  acme+a
    Applied   Deployment shop/redis
"
        .to_owned()
            + ran.out.lines().last().unwrap()
            + "\n"
    );
    assert!(
        ran.out
            .lines()
            .last()
            .unwrap()
            .starts_with("    Failed    Deployment shop/cart  1 attempt, for ")
    );
    let (ran, _) = against(
        Script {
            status: status_parts(),
            ..Script::default()
        },
        "status web -o name",
    )
    .await;
    assert_eq!(
        ran.out,
        "acme+a/Deployment/shop/redis\nacme+a/Deployment/shop/cart\n"
    );
}

#[tokio::test]
async fn events_in_json_are_one_array_with_nulls() {
    let events = vec![
        Event {
            seq: 1,
            to: "Created".to_owned(),
            event: "create".to_owned(),
            actor: "ann".to_owned(),
            ..Event::default()
        },
        Event {
            seq: 2,
            object: "Deployment/shop/redis".to_owned(),
            attempt: Some(0),
            ..Event::default()
        },
    ];
    let (ran, _) = against(
        Script {
            events,
            ..Script::default()
        },
        "events web -o json",
    )
    .await;
    let events: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(events.as_array().unwrap().len(), 2);
    assert_eq!(
        events[0],
        serde_json::json!({
            "seq": 1, "time": null, "contextId": null, "revision": null, "object": null, "cluster": null, "app": null,
            "from": null, "to": "Created", "event": "create", "attempt": null, "code": null, "message": null,
            "actor": "ann", "requestId": null,
        })
    );
    assert_eq!(events[1]["attempt"], 0);
}

#[tokio::test]
async fn a_watch_without_a_terminal_prints_changes() {
    let mut first = news(ContextState::Instantiating, 1).unwrap();
    first.resources = vec![resource("redis", ResourceState::Applied)];
    let last = Err(Status::not_found(
        "DIG default/web does not exist; see `muster get dig`",
    ));
    let script = |watch| Script {
        watches: [watch].into(),
        ..Script::default()
    };
    let (ran, _) = against(
        script(vec![Ok(first.clone()), last.clone()]),
        "status web --watch",
    )
    .await;
    let lines: Vec<&str> = ran
        .out
        .lines()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(
        lines,
        [
            "default/web: Instantiating, 1 of 3 applied, 2 pending",
            "back acme+a Applied   Deployment shop/redis"
        ]
    );
    assert_eq!(ran.code, 3);
    let (ran, _) = against(script(vec![Ok(first), last]), "status web --watch -o json").await;
    let kinds: Vec<String> = ran
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line)
                .unwrap()
                .as_object()
                .unwrap()
                .keys()
                .next()
                .unwrap()
                .clone()
        })
        .collect();
    assert_eq!(kinds, ["status", "resource", "synced"]);
}
