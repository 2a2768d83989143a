//! A server that plays a lifecycle, to look at the program in a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, dead_code, reason = "an example")]
#[path = "../tests/cli/fake.rs"]
mod fake;
use fake::*;
use proto::v1::{get_status_response::Part, *};
use tonic::Status;

fn now(offset: i64) -> Option<prost_types::Timestamp> {
    let t = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Some(prost_types::Timestamp { seconds: t.as_secs() as i64 + offset, nanos: 0 })
}

fn picture(step: i64, deleting: bool, n: i64) -> WatchStatusResponse {
    let per = 12;
    let mut sum = DeployedCounts::default();
    let mut apps = Vec::new();
    let mut resources = Vec::new();
    let mut row = 0;
    for app in ["backend", "frontend"] {
        let mut clusters = Vec::new();
        for c in 0..n {
            let stuck = c == 2 && step < 45;
            let done = if stuck { per / 3 } else { ((step - c) / 2).clamp(0, per) };
            let mut k = DeployedCounts::default();
            *(if deleting { &mut k.deleted } else { &mut k.applied }) = done;
            if stuck { k.retrying = per - done } else { k.pending = per - done }
            if deleting && c == 1 && step > 50 { k.failed = 1; k.deleted -= 1; }
            clusters.push(AppClusterStatus { cluster: format!("sandbox+c{}", c + 1), connectivity: if stuck { 3 } else { 2 }, deployed_counts: Some(k) });
            for i in 0..per {
                row += 1;
                let state = if i < done { if deleting { 5 } else { 2 } } else if stuck { 3 } else { 1 };
                resources.push(Resource { row, app: app.into(), cluster: format!("sandbox+c{}", c + 1), group: "apps".into(), version: "v1".into(), kind: "Deployment".into(), namespace: "shop".into(), name: format!("svc-{i}"), goal: if deleting { 2 } else { 1 }, deployed_status: state, attempts: if stuck { 3 } else { 1 }, since: now(-5), next_attempt_at: if state == 3 { now(4) } else { None }, last_error: (state == 3).then(|| Failure { code: "unreachable".into(), message: "connect timed out".into() }), ..Default::default() });
            }
            sum.applied += k.applied; sum.pending += k.pending; sum.retrying += k.retrying; sum.deleted += k.deleted; sum.failed += k.failed;
        }
        apps.push(AppStatus { name: app.into(), clusters });
    }
    let end = sum.pending + sum.retrying == 0;
    let state = match (deleting, end, sum.failed) { (false, false, _) => 1, (false, true, _) => 2, (true, _, _) if step < 4 => 4, (true, false, _) => 5, (true, true, 0) => 6, _ => 7 };
    let problems = if sum.retrying > 0 { ["backend", "frontend"].iter().map(|a| Problem { cluster: "sandbox+c3".into(), app: (*a).into(), count: 8, goal: if deleting { 2 } else { 1 }, code: "unreachable".into(), reason: "connect timed out".into(), message: format!("8 resources of {a} on sandbox+c3: connect timed out"), attempts: (step / 4) as i32 + 1, since: now(-step / 5), next_attempt_at: now(4), next_step: "check the cluster and the network to it; Muster goes on by itself when it answers".into(), ..Default::default() }).collect() } else if sum.failed > 0 { vec![Problem { cluster: "sandbox+c2".into(), app: "backend".into(), resource: "Deployment/shop/svc-3".into(), count: 2, goal: 2, code: "forbidden".into(), reason: "403: deployments.apps \"svc-3\" is forbidden: User \"muster\" cannot delete resource \"deployments\" in API group \"apps\" in the namespace \"shop\"".into(), attempts: 1, since: now(-3), next_step: "grant the missing permission on the cluster, then terminate again".into(), ..Default::default() }] } else { vec![] };
    WatchStatusResponse {
        head: Some(StatusHead { project: "shop".into(), name: "boutique-prod".into(), state: if deleting { 4 } else { 3 }, allowed_verbs: vec!["terminate".into()], context: Some(ContextStatus { id: "01jdb9y3x8".into(), revision: 1, state, started_at: now(-step / 5), ..Default::default() }), deployed_counts: Some(sum), problems, apps, ..Default::default() }),
        resources, resume_token: format!("t{step}"), synced: true, ..Default::default()
    }
}

#[tokio::main]
async fn main() {
    let n: i64 = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(4);
    let play = |deleting| -> Vec<Result<WatchStatusResponse, Status>> { (0..80).map(|s| Ok(picture(s, deleting, n))).collect() };
    let lr = |state| Ok(LifecycleResponse { project: "shop".into(), name: "boutique-prod".into(), state, context_id: "01jdb9y3x8".into(), changed: true });
    let mid = picture(20, false, n);
    let (head, resources) = (mid.head.unwrap(), mid.resources);
    let mut events = vec![];
    for (i, (object, from, to)) in [("", "", "Instantiating"), ("Deployment/shop/redis", "Pending", "Retrying"), ("Deployment/shop/redis", "Retrying", "Applied"), ("", "Instantiating", "Instantiated")].into_iter().enumerate() {
        events.push(Event { seq: i as i64 + 1, time: now(i as i64), context_id: "01jdb9y3x8".into(), revision: Some(1), object: object.into(), cluster: if object.is_empty() { "".into() } else { "sandbox+c1".into() }, app: "backend".into(), from: from.into(), to: to.into(), event: "Applied".into(), attempt: Some(i as i32), message: if to == "Retrying" { "connect timed out".into() } else { "".into() }, actor: if object.is_empty() { "ann".into() } else { "".into() }, ..Default::default() });
    }
    let dig = DeploymentIntentGroup { project: "shop".into(), name: "boutique-prod".into(), state: 3, context_id: "01jdb9y3x8".into(), context_state: 1, counts: head.deployed_counts, total: 96, problem: "8 resources of backend on sandbox+c3: connect timed out".into(), allowed_verbs: vec!["terminate".into()], composite_app: "boutique".into(), composite_app_version: "v1".into(), namespace: "shop".into(), document_json: r#"{"apiVersion":"muster.dev/v1","kind":"DeploymentIntentGroup","metadata":{"name":"boutique-prod","project":"shop"},"spec":{"compositeApp":{"name":"boutique","version":"v1"}}}"#.into(), ..Default::default() };
    let script = Script {
        verbs: (0..50).map(|i| lr(if i % 2 == 0 { 3 } else { 4 })).collect(),
        pace: std::time::Duration::from_millis(150),
        watches: [play(false), play(true), play(false), play(true), play(false), play(false)].into(),
        status: vec![GetStatusResponse { part: Some(Part::Head(head)) }, GetStatusResponse { part: Some(Part::Resources(ResourceChunk { resources })) }],
        events, digs: vec![dig], applied: vec![], heard: vec![],
    };
    let (address, _) = serve(script).await;
    println!("http://{address}");
    std::future::pending::<()>().await;
}
