//! Verbs that are waited for.

use crate::{
    answers::{accepted, news},
    fake::Script,
    run::{against, timeless},
};
use proto::v1::ContextState;
use tonic::Status;

#[tokio::test]
async fn a_wait_ends_as_its_context_does() {
    use ContextState as C;
    let instantiate = "instantiate web --wait";
    let terminate = "terminate web --wait";
    for (line, messages, code, out, err) in [
        (
            instantiate,
            vec![news(C::Instantiating, 0), news(C::Instantiated, 3)],
            0,
            "web: Instantiated, 3 of 3 applied on 1 cluster in T s",
            "",
        ),
        (
            terminate,
            vec![
                news(C::PreTerminate, 0),
                news(C::Terminating, 1),
                news(C::Terminated, 3),
            ],
            0,
            "web: Terminated, 3 of 3 deleted on 1 cluster in T s",
            "",
        ),
        (
            "retry web --wait",
            vec![news(C::Instantiating, 2), news(C::Instantiated, 3)],
            0,
            "web: Instantiated, 3 of 3 applied on 1 cluster in T s",
            "",
        ),
        (
            instantiate,
            vec![news(C::InstantiateFailed, 2)],
            1,
            "",
            "error: web: InstantiateFailed, 2 of 3 applied, 1 failed on 1 cluster in T s: acme+a, back: apply ConfigMap/shop/one: 403: not allowed [forbidden]; grant it",
        ),
        (
            instantiate,
            vec![news(C::Instantiating, 1), news(C::PreTerminate, 0)],
            1,
            "",
            "error: web will not become Instantiated: it was terminated meanwhile and is PreTerminate now; `muster events default/web",
        ),
        (
            terminate,
            vec![Err(Status::not_found("gone"))],
            0,
            "web: Terminated (and no longer there) in T s",
            "",
        ),
        (
            "instantiate web --wait --timeout 1s",
            vec![news(C::Instantiating, 1)],
            5,
            "",
            "error: default/web is not Instantiated after T s: Instantiating, 1 of 3 applied, 2 pending on 1 cluster; instantiate goes on without you, follow it with `muster status default/web --watch",
        ),
    ] {
        let script = Script {
            verbs: [accepted()].into(),
            watches: [messages].into(),
            ..Script::default()
        };
        let (mut ran, _) = against(script, line).await;
        (ran.out, ran.err) = (timeless(&ran.out), timeless(&ran.err));
        assert_eq!(ran.code, code, "{line}: {}{}", ran.out, ran.err);
        assert!(
            ran.out.starts_with(out) && ran.out.lines().count() <= 1,
            "{line}: {}",
            ran.out
        );
        assert!(ran.err.contains(err), "{line}: {}", ran.err);
        assert!(
            ran.out.is_empty() || !ran.err.contains("error"),
            "{line}: {}",
            ran.err
        );
    }
}

#[tokio::test]
async fn a_wait_survives_a_broken_connection_and_goes_on_where_it_was() {
    let script = Script {
        verbs: [accepted()].into(),
        watches: [
            vec![
                news(ContextState::Instantiating, 1),
                Err(Status::unavailable("the server stops")),
            ],
            vec![news(ContextState::Instantiated, 3)],
        ]
        .into(),
        ..Script::default()
    };
    let (ran, heard) = against(script, "instantiate web --wait --request-id r1").await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        heard,
        ["instantiate default/web r1", "watch ", "watch token-1"]
    );
    assert!(
        ran.err
            .contains("the connection to the server is lost, trying again: the server stops"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn a_wait_in_json_prints_one_status() {
    let script = Script {
        verbs: [accepted()].into(),
        watches: [vec![
            news(ContextState::Instantiating, 0),
            news(ContextState::InstantiateFailed, 2),
        ]]
        .into(),
        ..Script::default()
    };
    let (ran, _) = against(script, "instantiate web --wait -o json").await;
    let status: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(status["context"]["state"], "InstantiateFailed");
    assert_eq!(status["deployedCounts"]["Failed"], 1);
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(
        (ran.code, error["error"]["code"].as_str()),
        (1, Some("INSTANTIATE_FAILED"))
    );
    assert_eq!(error["error"]["nextStep"], "grant it");
}
