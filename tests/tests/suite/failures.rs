//! Everything of `docs/failures.md` that can be caused: one stack, one DIG for each failure, all at
//! once; then `muster status` has to name cluster, object, cause, code, attempts and next step.

mod cases;
mod clusters;
mod pattern;

use cases::{Case, cases};
use clusters::start;
use futures_util::future::join_all;
use model::failure::{GUIDES, Guide};
use pattern::fits;
use proto::v1::{Problem, StatusHead};
use sandbox::host::{Fault, FaultKind, Verb};
use sea_orm::ConnectionTrait;
use std::{collections::BTreeSet, time::Duration};
use tests::{
    Stack,
    documents::{App, config_map},
    until,
};

/// Longer than any failure takes to show, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Caused in [`engine`], in [`checks`], in `objects.rs` or in `readiness.rs`, or by the tests of
/// `model` (what an answer means), `activities` (what a look, an attempt and a delete see) and `store` (probes).
const ELSEWHERE: [&str; 17] = [
    "temporalUnreachable",
    "noWorker",
    "storeLocked",
    "identity",
    "identityChanged",
    "versionTooOld",
    "manifestMissing",
    "groupSilent",
    "uidChanged",
    "deleting",
    "lateRequest",
    "waiting",
    "failFast",
    "gone",
    "store",
    "notReady",
    "notPresent",
];

fn guide(code: &str) -> &'static Guide {
    let found = GUIDES.iter().find(|guide| guide.code == code);
    found.unwrap_or_else(|| panic!("{code} is not in the table"))
}

/// What `muster WORDS` prints, and its exit code.
async fn muster(stack: &Stack, words: &str) -> (u8, String) {
    let line = format!("{words} --server http://{}", stack.grpc);
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let ran = tests::muster::muster(&words, Vec::new()).await;
    (ran.code, ran.out + &ran.err)
}

/// Compares a problem, and what `muster status` says of it, with the table; what is wrong.
async fn compare(
    stack: &Stack,
    dig: &str,
    cluster: &str,
    object: &str,
    problem: &Problem,
) -> Vec<String> {
    let guide = guide(&problem.code);
    let mut wrong = Vec::new();
    if !fits(guide.sees, &problem.reason) && !fits(guide.sees, &problem.message) {
        wrong.push(format!("it is not {:?}", guide.sees));
    }
    if problem.next_step != guide.next {
        wrong.push(format!("the next step is not {:?}", guide.next));
    }
    if problem.cluster != cluster || problem.resource != object {
        wrong.push(format!("it is not about {cluster} {object}"));
    }
    if !wrong.is_empty() {
        wrong.push(format!("{problem:?}"));
    }
    let (exit, text) = muster(stack, &format!("status p/{dig} --summary")).await;
    if exit != 0 || !tells(&text, guide, cluster, object, problem.attempts > 0) {
        let sees = guide.sees;
        wrong.push(format!(
            "no line names {cluster} {object}, {sees:?} and attempts, if any, in\n{text}"
        ));
    }
    wrong
        .into_iter()
        .map(|wrong| format!("{dig} ({}): {wrong}", problem.code))
        .collect()
}

/// Whether a block of lines names the cluster, the object, the cause, its code, how often it was
/// tried (those go on counting), and after it the next step.
fn tells(text: &str, guide: &Guide, cluster: &str, object: &str, tried: bool) -> bool {
    let code = format!(" [{}]", guide.code);
    let next = format!("next: {}", guide.next);
    let blocks = text.split("\n  - ").skip(1);
    let says_attempts = |line: &str| {
        let number = |word: &str| {
            word.trim_start_matches('(')
                .parse::<u32>()
                .is_ok_and(|n| n > 0)
        };
        let words: Vec<&str> = line.split(' ').collect();
        words
            .windows(2)
            .any(|pair| number(pair[0]) && pair[1].starts_with("attempt"))
    };
    // The next step stands once for those in a row that need the same.
    let says_next = text.lines().any(|line| line.trim() == next);
    says_next
        && blocks.into_iter().any(|block| {
            let line = block.lines().next().unwrap_or_default();
            line.starts_with(cluster)
                && line.contains(object)
                && line.contains(&code)
                && fits(guide.sees, block)
                && says_attempts(line) == tried
        })
}

fn find<'a>(head: &'a StatusHead, case: &Case) -> Option<&'a Problem> {
    head.problems.iter().find(|problem| {
        problem.code == case.code
            && problem.resource == case.object
            && problem.cluster == case.cluster
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn status_names_cluster_object_cause_and_next_step_of_every_failure() {
    let (mut stack, other) = start().await;
    let cases = cases();
    for case in &cases {
        let spec = format!(
            "  namespace: f-{}\n  placement:\n  - {{app: \"*\", allOf: [{{cluster: {}}}]}}\n  policy: {}",
            case.name, case.cluster, case.policy
        );
        let dig = stack.approved(case.name, &case.apps, &spec).await;
        // The names of one cluster are told apart once it was seen.
        if case.code == "duplicateCluster" {
            stack.dig("blackhole").instantiate().await.unwrap();
            let first = stack
                .approved(
                    "known",
                    &[App::new("app", config_map("x"))],
                    &tests::documents::on(&["c1"]),
                )
                .await;
            first.instantiate().await.unwrap();
            first.until_instantiated().await;
        } else if case.name == "blackhole" {
            continue;
        }
        dig.instantiate().await.unwrap();
        if case.terminate {
            dig.until_instantiated().await;
            dig.terminate().await.unwrap();
        }
    }
    let shown = &stack;
    let found = join_all(cases.iter().map(|case| async move {
        let looks = async {
            loop {
                let status = shown.dig(case.name).status().await;
                let found = find(&status.head, case);
                if let Some(problem) = found.filter(|found| case.tried == (found.attempts > 0)) {
                    return problem.clone();
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looks).await {
            Ok(problem) => compare(shown, case.name, case.cluster, &case.object, &problem).await,
            Err(_) => {
                let head = shown.dig(case.name).status().await.head;
                vec![format!(
                    "{} ({}): not seen: {:?}",
                    case.name, case.code, head.problems
                )]
            }
        }
    }))
    .await;
    let wrong: Vec<String> = found.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    checks(&stack).await;
    engine(&mut stack).await;

    // What the table has and nobody caused here, each with where it is caused instead.
    let mut left: BTreeSet<&str> = GUIDES.iter().map(|guide| guide.code).collect();
    for case in &cases {
        left.remove(case.code);
    }
    for elsewhere in ELSEWHERE {
        assert!(
            left.remove(elsewhere),
            "{elsewhere} is caused here, or unknown"
        );
    }
    assert_eq!(left, BTreeSet::new(), "nobody causes these");
    other.shutdown().await;
    stack.end().await;
}

/// `muster cluster check` says the same of the clusters.
async fn checks(stack: &Stack) {
    let mut wrong: Vec<String> = Vec::new();
    for (cluster, code) in [
        ("sandbox+hole", "unreachable"),
        ("sandbox+reset", "reset"),
        ("bad+closed", "unreachable"),
        ("bad+dns", "dns"),
        ("bad+tls", "tls"),
        ("bad+exec", "kubeconfig"),
        ("bad+stranger", "unauthorized"),
        ("bad+twice", "duplicateCluster"),
        ("sandbox+old", "versionTooOld"),
    ] {
        let (exit, text) = muster(stack, &format!("cluster check {cluster}")).await;
        let names = text.starts_with(&format!("{cluster}: "));
        if exit != 1 || !names || !fits(guide(code).sees, &text) {
            wrong.push(format!("{exit}, {:?}: {text}", guide(code).sees));
        }
    }
    let (exit, text) = muster(stack, "cluster check sandbox+c1").await;
    assert_eq!(exit, 0, "{text}");
    assert!(text.contains("Kubernetes v1."), "{text}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What keeps everything from moving: the database, the worker, Temporal; and what was lost
/// meanwhile.
async fn engine(stack: &mut Stack) {
    let healthy = |name: &'static str| {
        let apps = [App::new("app", config_map(name))];
        (
            name,
            apps,
            format!(
                "  namespace: f-{name}\n  placement:\n  - {{app: \"*\", allOf: [{{cluster: sandbox+c1}}]}}"
            ),
        )
    };
    let shows = async |stack: &Stack, name: &'static str, code: &'static str| {
        let dig = stack.dig(name);
        let status = dig.until(code, |s| s.head.problems.iter().any(|p| p.code == code));
        let status = status.await;
        let problem = status.head.problems.first().unwrap();
        assert_eq!(problem.code, code, "it is the worst: {problem:?}");
        let wrong = compare(stack, name, "", "", problem).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    };

    // A DIG that waits is shown to wait for the database, and goes on when it is free.
    stack.fault_where(
        "c1",
        Fault::from(FaultKind::Status { code: 503 })
            .verb(Verb::Apply)
            .named("locked"),
    );
    let (name, apps, spec) = healthy("locked");
    let dig = stack.approved(name, &apps, &spec).await;
    dig.instantiate().await.unwrap();
    dig.until("it waits", |s| !s.head.problems.is_empty()).await;
    let lock = lock(stack).await;
    shows(stack, name, "storeLocked").await;
    drop(lock);
    stack.heal("c1").await;
    dig.until_instantiated().await;

    stack.stop_worker().await;
    let (name, apps, spec) = healthy("alone");
    let dig = stack.approved(name, &apps, &spec).await;
    dig.instantiate().await.unwrap();
    let (lost, apps, spec) = healthy("lost");
    stack
        .approved(lost, &apps, &spec)
        .await
        .instantiate()
        .await
        .unwrap();
    shows(stack, name, "noWorker").await;
    let forget =
        "DELETE FROM manifest WHERE digest IN (SELECT digest FROM resource WHERE name = 'lost')";
    connect(stack)
        .await
        .execute_unprepared(forget)
        .await
        .unwrap();
    let (exit, text) = muster(stack, "cluster check sandbox+c1").await;
    assert_eq!(exit, 6, "{text}");
    assert!(text.contains("no worker takes work"), "{text}");
    stack.start_worker();
    dig.until_instantiated().await;
    assert_eq!(dig.status().await.head.problems, []);
    let missing = |p: &Problem| p.code == "manifestMissing";
    let dig = stack.dig(lost);
    let shown = dig.until("manifestMissing", |s| s.head.problems.iter().any(missing));
    let shown = shown.await;
    let problem = shown.head.problems.iter().find(|p| missing(p)).unwrap();
    let wrong = compare(stack, lost, "sandbox+c1", "ConfigMap/f-lost/lost", problem).await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    let (name, apps, spec) = healthy("apart");
    let dig = stack.approved(name, &apps, &spec).await;
    stack.temporal.kill();
    dig.instantiate().await.unwrap();
    shows(stack, name, "temporalUnreachable").await;
}

async fn connect(stack: &Stack) -> sea_orm::DatabaseConnection {
    let mut options = sea_orm::ConnectOptions::new(tests::stack::store_url(&stack.dir));
    options.max_connections(1).min_connections(1);
    sea_orm::Database::connect(options).await.unwrap()
}

/// Holds SQLite's only write lock.
async fn lock(stack: &Stack) -> sea_orm::DatabaseConnection {
    let connection = connect(stack).await;
    until("the lock is taken", || async {
        connection.execute_unprepared("BEGIN IMMEDIATE").await.ok()
    })
    .await;
    connection
}
