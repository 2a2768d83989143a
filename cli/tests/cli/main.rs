//! The whole program against a server that says what a test wants: output, exit codes, requests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may stop at once"
)]

mod fake;

use cli::{output::Output, style::Terminals};
use fake::{Script, serve};
use proto::v1::{applied_document::Change, get_status_response::Part, *};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What a run wrote, and how it ended.
struct Ran {
    code: u8,
    out: String,
    err: String,
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(data);
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `muster LINE` against a server, without any terminal.
async fn muster(server: &str, line: &str) -> Ran {
    let (out, err) = (Buffer::default(), Buffer::default());
    let words = format!("muster {line} --server {server}");
    let arguments = cli::parse(words.split_whitespace().map(Into::into)).expect("a command line");
    let output = Output::new(
        Box::new(out.clone()),
        Box::new(err.clone()),
        arguments.global.output,
        Terminals::default(),
    );
    let code = cli::run(arguments, output).await;
    Ran {
        code,
        out: out.text(),
        err: err.text(),
    }
}

async fn against(script: Script, line: &str) -> (Ran, Vec<String>) {
    let (address, fake) = serve(script).await;
    let ran = muster(&format!("http://{address}"), line).await;
    (ran, fake.heard())
}

/// The text with every number of seconds replaced, since machines differ in speed.
fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for index in 1..words.len() {
        if words[index].starts_with('s') && words[index - 1].parse::<f64>().is_ok() {
            words[index - 1] = "T";
        }
    }
    words.join(" ")
}

fn accepted() -> Result<LifecycleResponse, Status> {
    Ok(LifecycleResponse {
        project: "default".to_owned(),
        name: "web".to_owned(),
        state: DigState::Instantiated.into(),
        context_id: "c1".to_owned(),
        changed: true,
    })
}

/// A head of context `c1` with three resources, `done` of them where they shall be.
fn head(state: ContextState, done: i64) -> StatusHead {
    let deleting = matches!(
        state,
        ContextState::Terminating | ContextState::Terminated | ContextState::PreTerminate
    );
    let failed = i64::from(matches!(
        state,
        ContextState::InstantiateFailed | ContextState::TerminateFailed
    ));
    let (applied, deleted) = if deleting { (0, done) } else { (done, 0) };
    StatusHead {
        project: "default".to_owned(),
        name: "web".to_owned(),
        state: if deleting {
            DigState::Terminated
        } else {
            DigState::Instantiated
        }
        .into(),
        allowed_verbs: vec!["terminate".to_owned()],
        context: Some(ContextStatus {
            id: "c1".to_owned(),
            revision: 1,
            state: state.into(),
            ..ContextStatus::default()
        }),
        deployed_counts: Some(DeployedCounts {
            applied,
            deleted,
            failed,
            pending: 3 - done - failed,
            ..DeployedCounts::default()
        }),
        apps: vec![AppStatus {
            name: "back".to_owned(),
            clusters: vec![AppClusterStatus {
                cluster: "acme+a".to_owned(),
                ..AppClusterStatus::default()
            }],
        }],
        problems: (0..failed)
            .map(|_| Problem {
                cluster: "acme+a".to_owned(),
                app: "back".to_owned(),
                resource: "ConfigMap/shop/one".to_owned(),
                count: 1,
                goal: Goal::Apply.into(),
                code: "forbidden".to_owned(),
                reason: "403: not allowed".to_owned(),
                next_step: "grant it".to_owned(),
                ..Problem::default()
            })
            .collect(),
        ..StatusHead::default()
    }
}

fn news(state: ContextState, done: i64) -> Result<WatchStatusResponse, Status> {
    Ok(WatchStatusResponse {
        head: Some(head(state, done)),
        resume_token: format!("token-{done}"),
        synced: true,
        ..WatchStatusResponse::default()
    })
}

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
            "error: web: InstantiateFailed, 2 of 3 applied, 1 failed on 1 cluster in T s: acme+a, back: apply ConfigMap/shop/one: 403: not allowed; grant it",
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

fn entry(id: &str, result: collected_orphan::Result, outcome: &str) -> CollectedOrphan {
    CollectedOrphan {
        orphan: Some(Orphan {
            id: id.to_owned(),
            project: "shop".to_owned(),
            name: "web".to_owned(),
            cluster: "acme+a".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: "ns".to_owned(),
            object: "one".to_owned(),
            reason: "abandoned".to_owned(),
            outcome: outcome.to_owned(),
            ..Orphan::default()
        }),
        result: result.into(),
    }
}

#[tokio::test]
async fn the_orphan_ledger_is_listed_collected_and_forgotten() {
    use collected_orphan::Result::{Failed, Over, Waits};
    let over = || vec![entry("7", Over, "deleted")];
    for (line, orphans, code, out, err, heard) in [
        ("get orphans -o name", over(), 0, "orphan/7\n", "", vec![]),
        (
            "get orphan/8",
            over(),
            3,
            "",
            "orphan 8 is not in the ledger",
            vec![],
        ),
        (
            "orphans collect 7",
            over(),
            0,
            "orphan/7 ConfigMap/ns/one on acme+a: deleted\n",
            "",
            vec!["collect  [\"7\"]"],
        ),
        (
            "orphans collect --cluster acme+a",
            vec![entry("7", Waits, "waits for cluster acme+a")],
            0,
            "orphan/7 ConfigMap/ns/one on acme+a: waits for cluster acme+a\n",
            "1 orphan will be collected",
            vec!["collect acme+a []"],
        ),
        (
            "orphans collect",
            vec![entry(
                "7",
                Failed,
                "the credentials may not delete configmaps",
            )],
            1,
            "orphan/7 ConfigMap/ns/one on acme+a: the credentials may not delete configmaps\n",
            "error: 1 orphan could not be collected",
            vec!["collect  []"],
        ),
        (
            "orphans forget 7 --reason scrapped",
            over(),
            0,
            "orphan/7 ConfigMap/ns/one on acme+a forgotten\n",
            "",
            vec!["forget [\"7\"] scrapped"],
        ),
    ] {
        let script = Script {
            orphans,
            ..Script::default()
        };
        let (ran, said) = against(script, line).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, out),
            "{line}: {}",
            ran.err
        );
        assert!(ran.err.contains(err), "{line}: {}", ran.err);
        assert_eq!(said, heard, "{line}");
    }
    let script = Script {
        orphans: over(),
        ..Script::default()
    };
    let (ran, _) = against(script, "get orphans -o json").await;
    let list: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(list["items"][0]["dig"], "shop/web");
    assert_eq!(list["items"][0]["reason"], "abandoned");
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

fn resource(name: &str, state: ResourceState) -> Resource {
    Resource {
        app: "back".to_owned(),
        cluster: "acme+a".to_owned(),
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        goal: Goal::Apply.into(),
        deployed_status: state.into(),
        attempts: 1,
        since: Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 5_000_000,
        }),
        ..Resource::default()
    }
}

fn status_parts() -> Vec<GetStatusResponse> {
    let resources = vec![
        resource("redis", ResourceState::Applied),
        resource("cart", ResourceState::Failed),
    ];
    vec![
        GetStatusResponse {
            part: Some(Part::Head(head(ContextState::InstantiateFailed, 1))),
        },
        GetStatusResponse {
            part: Some(Part::Resources(ResourceChunk { resources })),
        },
    ]
}

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
  - acme+a, back: apply ConfigMap/shop/one: 403: not allowed
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

fn digs() -> Vec<DeploymentIntentGroup> {
    let dig = |name: &str| DeploymentIntentGroup {
        project: "default".to_owned(),
        name: name.to_owned(),
        state: DigState::Created.into(),
        document_json: format!(
            r#"{{"apiVersion":"muster.dev/v1","kind":"DeploymentIntentGroup","metadata":{{"name":"{name}","project":"default"}}}}"#
        ),
        ..DeploymentIntentGroup::default()
    };
    let running = DeploymentIntentGroup {
        state: DigState::Instantiated.into(),
        context_id: "c1".to_owned(),
        context_state: ContextState::Instantiating.into(),
        counts: Some(DeployedCounts {
            applied: 2,
            pending: 1,
            ..DeployedCounts::default()
        }),
        total: 3,
        problem: "acme+b does not answer".to_owned(),
        ..dig("web")
    };
    vec![dig("db"), running]
}

#[tokio::test]
async fn lists_come_in_every_form() {
    for (line, out, err) in [
        (
            "get digs",
            "NAME   STATE          CONTEXT         APPLIED   READY   PROBLEM
db     Created        -               -         -
web    Instantiated   Instantiating   2/3       -       acme+b does not answer
",
            "note: acme+b does not answer; what is shown of it may be old\n",
        ),
        ("get dig -o name", "dig/default/db\ndig/default/web\n", ""),
        (
            "get dig -o yaml",
            "apiVersion: muster.dev/v1
kind: DeploymentIntentGroup
metadata:
  name: db
  project: default
---
apiVersion: muster.dev/v1
kind: DeploymentIntentGroup
metadata:
  name: web
  project: default
",
            "",
        ),
    ] {
        let (ran, _) = against(
            Script {
                digs: digs(),
                ..Script::default()
            },
            line,
        )
        .await;
        assert_eq!(
            (ran.out.as_str(), ran.err.as_str(), ran.code),
            (out, err, 0),
            "{line}"
        );
    }
    let (ran, _) = against(
        Script {
            digs: digs(),
            ..Script::default()
        },
        "get dig web -o json",
    )
    .await;
    let dig: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(dig["metadata"]["name"], "web");
    assert_eq!(dig["status"]["context"]["state"], "Instantiating");
    let (ran, _) = against(
        Script {
            digs: digs(),
            ..Script::default()
        },
        "get dig nope",
    )
    .await;
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .starts_with("error: DIG default/nope does not exist; `muster get dig -A"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn an_upload_carries_documents_and_their_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("a.yaml"),
        "kind: Cluster\nspec: {kubeconfig: k}\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("k"), "secret").unwrap();
    let applied = |kind: &str, name: &str, change: Change| AppliedDocument {
        kind: kind.to_owned(),
        name: name.to_owned(),
        change: change.into(),
    };
    let script = || Script {
        applied: vec![
            applied("Cluster", "acme+edge-1", Change::Created),
            applied("CompositeApp", "shop/web/v1", Change::Configured),
            applied("DeploymentIntentGroup", "shop/web", Change::Unchanged),
        ],
        ..Script::default()
    };
    let line = format!(
        "-p shop apply -f {}/a.yaml --request-id r1",
        dir.path().display()
    );
    let (ran, heard) = against(script(), &line).await;
    assert_eq!(
        ran.out,
        "cluster/acme+edge-1 created\napp/shop/web/v1 configured\ndig/shop/web unchanged\n",
        "{}",
        ran.err
    );
    assert_eq!(
        heard,
        [
            "header r1 shop false",
            "source 36 true",
            "entry 1 spec.kubeconfig b\"secret\" true"
        ]
    );
    let (ran, _) = against(script(), &format!("{line} -o json")).await;
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        answer["documents"][0],
        serde_json::json!({"kind": "Cluster", "name": "acme+edge-1", "change": "created"})
    );
}

#[tokio::test]
async fn several_deletes_of_one_run_have_ids_of_their_own() {
    let (ran, heard) = against(
        Script::default(),
        "delete cluster acme+a acme+b --request-id r",
    )
    .await;
    assert_eq!(ran.out, "cluster/acme+a deleted\ncluster/acme+b deleted\n");
    assert_eq!(
        heard,
        ["delete cluster acme+a r", "delete cluster acme+b r-1"]
    );
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_program_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (address, _) = serve(Script {
        status: status_parts(),
        digs: digs(),
        ..Script::default()
    })
    .await;
    for line in [
        "status web",
        "status web -o json",
        "status web -o yaml",
        "get dig",
        "completion bash",
    ] {
        let words = format!("muster {line} --server http://{address}");
        let arguments = cli::parse(words.split_whitespace().map(Into::into)).unwrap();
        let err = Buffer::default();
        let output = Output::new(
            Box::new(Closed),
            Box::new(err.clone()),
            arguments.global.output,
            Terminals::default(),
        );
        assert_eq!(
            (cli::run(arguments, output).await, err.text().as_str()),
            (0, ""),
            "{line}"
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

#[tokio::test]
async fn a_cluster_check_says_one_sentence_each_and_fails_when_one_cannot_be_used() {
    let fine = CheckClusterResponse {
        id: "acme+a".into(),
        message: "acme+a: Kubernetes v1.36.3, answers in 4 ms".into(),
        version: "v1.36.3".into(),
        latency_ms: Some(4),
        ..Default::default()
    };
    let bad = CheckClusterResponse {
        id: "acme+b".into(),
        message: "acme+b: the name b.invalid cannot be resolved".into(),
        failure: Some(Failure {
            code: "dns".into(),
            message: "the name b.invalid cannot be resolved".into(),
        }),
        next_step: "correct `server` in the kubeconfig".into(),
        ..Default::default()
    };
    let script = || Script {
        checks: vec![fine.clone(), bad.clone()],
        ..Default::default()
    };
    let (ran, _) = against(script(), "cluster check").await;
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.out,
        "acme+a: Kubernetes v1.36.3, answers in 4 ms\nacme+b: the name b.invalid cannot be resolved\n  next: correct `server` in the kubeconfig\n"
    );
    assert!(
        ran.err.contains("1 of 2 clusters cannot be used: acme+b"),
        "{}",
        ran.err
    );
    let (ran, _) = against(script(), "cluster check acme+a").await;
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let (ran, _) = against(script(), "cluster check acme+b -o json").await;
    assert_eq!(ran.code, 1);
    let look: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(look["usable"], false);
    assert_eq!(look["code"], "dns");
    let (ran, _) = against(script(), "cluster check -o json").await;
    let looks: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(looks.as_array().map(Vec::len), Some(2));
    let (ran, _) = against(script(), "cluster check acme+z").await;
    assert_eq!(ran.code, 3);
}
