//! Verbs, refusals of verbs, and usage errors.

use crate::{
    answers::accepted,
    fake::Script,
    run::{against, muster},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

#[tokio::test]
async fn a_request_whose_answer_got_lost_is_sent_again_with_the_same_id() {
    let script = Script {
        verbs: [Err(Status::unavailable("")), accepted()].into(),
        ..Script::default()
    };
    let (ran, heard) = against(script, "approve shop/web").await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "dig/shop/web approved\n"),
        "{}",
        ran.err
    );
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0], heard[1]);
}

#[tokio::test]
async fn stop_and_retry_say_what_was_accepted() {
    for (line, out) in [
        ("stop web --request-id r", "dig/default/web stopped\n"),
        (
            "retry web --request-id r",
            "dig/default/web retry accepted\n",
        ),
    ] {
        let script = Script {
            verbs: [accepted()].into(),
            ..Script::default()
        };
        let (ran, heard) = against(script, line).await;
        assert_eq!((ran.code, ran.out.as_str()), (0, out), "{}", ran.err);
        let verb = line.split(' ').next().unwrap();
        assert_eq!(heard, [format!("{verb} default/web r")]);
    }
}

#[tokio::test]
async fn a_terminate_names_the_clusters_it_gives_up() {
    let script = Script {
        verbs: [accepted()].into(),
        ..Script::default()
    };
    let line = "terminate web --abandon acme+a --abandon acme+b --request-id r";
    let (ran, heard) = against(script, line).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(
        heard,
        ["terminate without acme+a without acme+b default/web r"]
    );
}

#[tokio::test]
async fn refusals_have_their_exit_codes_and_their_reasons() {
    let refused = || {
        let metadata: std::collections::HashMap<_, _> =
            [("allowed_verbs".to_owned(), "approve".to_owned())].into();
        let details = ErrorDetails::with_error_info("WRONG_STATE", "muster.dev", metadata);
        Status::with_error_details(
            Code::FailedPrecondition,
            "default/web is Created, so instantiate is not possible",
            details,
        )
    };
    for (status, code, err) in [
        (
            refused(),
            4,
            "error: default/web is Created, so instantiate is not possible; allowed now: approve\n",
        ),
        (
            Status::aborted("two verbs at once"),
            4,
            "error: two verbs at once; somebody else was faster: look at the status and try again\n",
        ),
        (
            Status::not_found(
                "DIG default/web does not exist; list what exists with `muster get dig`",
            ),
            3,
            "error: DIG default/web does not exist; list what exists with `muster get dig`\n",
        ),
        (Status::internal("broken"), 1, "error: broken\n"),
        (
            Status::unauthenticated("who are you"),
            1,
            "error: who are you; give a valid token with --token or MUSTER_TOKEN\n",
        ),
        (
            Status::invalid_argument("name: is empty"),
            2,
            "error: name: is empty\n",
        ),
    ] {
        let script = Script {
            verbs: [Err(status)].into(),
            ..Script::default()
        };
        let (ran, _) = against(script, "instantiate web").await;
        assert_eq!(
            (ran.code, ran.err.as_str(), ran.out.as_str()),
            (code, err, "")
        );
    }
    let script = Script {
        verbs: [Err(refused())].into(),
        ..Script::default()
    };
    let (ran, _) = against(script, "instantiate web -o json").await;
    let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["reason"], "WRONG_STATE");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_from_one_that_refuses() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for line in ["get dig", "instantiate web --wait", "status web"] {
        let ran = muster(&format!("http://{address}"), line).await;
        assert_eq!(ran.code, 6);
        assert!(
            ran.err.starts_with(&format!(
                "error: cannot reach the server at http://{address}: Connection refused; "
            )),
            "{}",
            ran.err
        );
    }
}

#[tokio::test]
async fn flags_that_do_not_fit_the_verb_are_usage_errors() {
    for line in [
        "get dig --wait",
        "events web -o name",
        "status web --watch -o yaml",
        "get pods",
        "delete dig",
        "status a/b/c",
        "get app -A",
    ] {
        let (ran, _) = against(Script::default(), line).await;
        assert_eq!(ran.code, 2, "{line}: {}", ran.err);
        assert!(ran.err.starts_with("error: "), "{line}");
    }
}
