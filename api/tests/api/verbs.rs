//! Verbs: one effect per request id, one winner per DIG, a wake for every accept.

use crate::stack::*;
use futures_util::{StreamExt, stream};
use proto::v1;
use std::{collections::HashSet, sync::atomic::Ordering};
use tonic::Code;
use tonic_types::StatusExt;

fn instantiate(request_id: &str) -> v1::InstantiateRequest {
    v1::InstantiateRequest {
        name: "web".into(),
        request_id: request_id.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_thousand_repeats_of_a_request_make_one_context() {
    let stack = Stack::start().await;
    stack.approved().await;
    let answers: Vec<_> = stream::iter(0..1_000)
        .map(|_| {
            let mut lifecycle = stack.lifecycle.clone();
            async move {
                lifecycle
                    .instantiate(instantiate("r1"))
                    .await
                    .unwrap()
                    .into_inner()
            }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let contexts: HashSet<_> = answers
        .iter()
        .map(|answer| answer.context_id.clone())
        .collect();
    assert_eq!(contexts.len(), 1);
    until("the context is woken", async || {
        !stack.notes.woken.lock().unwrap().is_empty()
    })
    .await;
    let woken: HashSet<_> = stack
        .notes
        .woken
        .lock()
        .unwrap()
        .iter()
        .map(|row| row.context.0.clone())
        .collect();
    assert_eq!(woken, contexts);
    stack.stop().await;
}

#[tokio::test]
async fn of_two_instantiates_at_once_exactly_one_wins() {
    let stack = Stack::start().await;
    stack.approved().await;
    let (mut one, mut two) = (stack.lifecycle.clone(), stack.lifecycle.clone());
    let answers = tokio::join!(
        one.instantiate(instantiate("a")),
        two.instantiate(instantiate("b"))
    );
    let lost = match answers {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        both => panic!("{both:?}"),
    };
    assert!(
        matches!(lost.code(), Code::FailedPrecondition | Code::Aborted),
        "{lost:?}"
    );
    stack.stop().await;
}

#[tokio::test]
async fn a_verb_in_the_wrong_state_names_the_verbs_that_are_possible() {
    let stack = Stack::start().await;
    stack
        .apply(&[cluster("c1"), app(&config_map("m")), DIG])
        .await
        .unwrap();
    let mut lifecycle = stack.lifecycle.clone();
    for validate_only in [true, false] {
        let refused = lifecycle
            .instantiate(v1::InstantiateRequest {
                validate_only,
                ..instantiate("")
            })
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let info = refused.get_details_error_info().unwrap();
        assert_eq!(info.metadata[api::ALLOWED_VERBS], "approve", "{info:?}");
    }
    let nobody = lifecycle
        .approve(v1::ApproveRequest {
            name: "nobody".into(),
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    assert_eq!(
        lifecycle
            .approve(v1::ApproveRequest::default())
            .await
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );
    stack.stop().await;
}

#[tokio::test]
async fn what_cannot_be_placed_leaves_no_context_behind() {
    let stack = Stack::start().await;
    stack.apply(&[app(&config_map("m")), DIG]).await.unwrap();
    let mut lifecycle = stack.lifecycle.clone();
    lifecycle
        .approve(v1::ApproveRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    let refused = lifecycle.instantiate(instantiate("")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("zone=z1"), "{refused:?}");
    let dig = stack
        .documents
        .clone()
        .get_deployment_intent_group(v1::GetDeploymentIntentGroupRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (dig.state(), dig.context_id.as_str()),
        (v1::DigState::Approved, "")
    );
    stack.stop().await;
}

#[tokio::test]
async fn validate_only_says_what_would_be_and_changes_nothing() {
    let stack = Stack::start().await;
    stack.approved().await;
    let mut lifecycle = stack.lifecycle.clone();
    let answer = lifecycle
        .instantiate(v1::InstantiateRequest {
            validate_only: true,
            ..instantiate("")
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (answer.state(), answer.context_id.as_str()),
        (v1::DigState::Instantiated, "")
    );
    let accepted = lifecycle
        .instantiate(instantiate(""))
        .await
        .unwrap()
        .into_inner();
    assert!(!accepted.context_id.is_empty());
    let terminate = v1::TerminateRequest {
        name: "web".into(),
        ..Default::default()
    };
    let would = lifecycle
        .terminate(v1::TerminateRequest {
            validate_only: true,
            ..terminate.clone()
        })
        .await
        .unwrap()
        .into_inner();
    let first = lifecycle
        .terminate(terminate.clone())
        .await
        .unwrap()
        .into_inner();
    let again = lifecycle.terminate(terminate).await.unwrap().into_inner();
    assert_eq!(
        (would, first.changed, again.changed),
        (first.clone(), true, false)
    );
    stack.stop().await;
}

#[tokio::test]
async fn without_temporal_a_verb_is_accepted_said_so_and_woken_later() {
    let stack = Stack::start().await;
    stack.approved().await;
    stack.notes.down.store(true, Ordering::SeqCst);
    let mut lifecycle = stack.lifecycle.clone();
    lifecycle.instantiate(instantiate("")).await.unwrap();
    until("the problem is shown", async || {
        let request = v1::GetStatusRequest {
            name: "web".into(),
            view: v1::StatusView::Summary.into(),
            ..Default::default()
        };
        let mut stream = stack
            .lifecycle
            .clone()
            .get_status(request)
            .await
            .unwrap()
            .into_inner();
        let Some(v1::get_status_response::Part::Head(head)) =
            stream.message().await.unwrap().unwrap().part
        else {
            panic!("no head")
        };
        head.problems.first().is_some_and(|problem| {
            problem.code == "temporalUnreachable" && problem.reason.contains("refused")
        })
    })
    .await;
    assert!(stack.notes.woken.lock().unwrap().is_empty());
    stack.notes.down.store(false, Ordering::SeqCst);
    until("the context is woken", async || {
        !stack.notes.woken.lock().unwrap().is_empty()
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn a_missing_worker_is_a_problem_at_once_and_refuses_a_check() {
    let stack = Stack::start().await;
    stack.approved().await;
    stack.notes.alone.store(true, Ordering::SeqCst);
    let mut lifecycle = stack.lifecycle.clone();
    lifecycle.instantiate(instantiate("")).await.unwrap();
    let request = v1::GetStatusRequest {
        name: "web".into(),
        view: v1::StatusView::Summary.into(),
        ..Default::default()
    };
    let mut stream = lifecycle.get_status(request).await.unwrap().into_inner();
    let Some(v1::get_status_response::Part::Head(head)) =
        stream.message().await.unwrap().unwrap().part
    else {
        panic!("no head")
    };
    let problem = &head.problems[0];
    assert_eq!(problem.code, "noWorker");
    assert!(
        problem.next_step.contains("muster-worker run"),
        "{problem:?}"
    );
    let clusters = stack
        .documents
        .clone()
        .list_clusters(v1::ListClustersRequest::default())
        .await
        .unwrap()
        .into_inner()
        .clusters;
    let request = v1::CheckClusterRequest {
        id: clusters[0].id.clone(),
    };
    let mut documents = stack.documents.clone();
    let refused = documents.check_cluster(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(
        refused.message().contains("no worker takes work"),
        "{refused:?}"
    );
    stack.notes.alone.store(false, Ordering::SeqCst);
    documents.check_cluster(request).await.unwrap();
    stack.stop().await;
}

#[tokio::test]
async fn terminate_leaves_pre_terminate_without_any_worker() {
    let stack = Stack::start().await;
    stack.approved().await;
    let mut lifecycle = stack.lifecycle.clone();
    lifecycle.instantiate(instantiate("")).await.unwrap();
    lifecycle
        .terminate(v1::TerminateRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    until("the context is Terminating", async || {
        let dig = stack
            .documents
            .clone()
            .get_deployment_intent_group(v1::GetDeploymentIntentGroupRequest {
                name: "web".into(),
                ..Default::default()
            })
            .await
            .unwrap()
            .into_inner();
        dig.context_state() == v1::ContextState::Terminating
    })
    .await;
    stack.stop().await;
}
