//! Clusters that answer slowly or badly for a while: they are asked at the pace of the retry
//! policy, and nobody else waits for them. What is asserted are counts and lower bounds, which a
//! busy machine cannot break.

use proto::v1::{Connectivity, ResourceState as R};
use sandbox::host::{Fault, FaultKind, LogEntry, Verb};
use std::collections::BTreeMap;
use tests::{
    Stack,
    client::Snapshot,
    documents::{App, config_maps as maps, on},
};

/// Times of the applies of each ConfigMap, in ms.
fn applies(stack: &Stack, cluster: &str) -> BTreeMap<String, Vec<i64>> {
    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let of_maps = |e: &LogEntry| e.verb == Verb::Apply && e.kind.as_deref() == Some("ConfigMap");
    for entry in stack.log(cluster).into_iter().filter(of_maps) {
        let name = entry.name.unwrap();
        times
            .entry(name)
            .or_default()
            .push(entry.time.as_millisecond());
    }
    times
}

fn all(status: &Snapshot, cluster: &str, names: &[&str], state: R) -> bool {
    names
        .iter()
        .all(|name| status.state(cluster, name) == state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_answers_429_or_500_is_asked_at_the_pace_of_the_policy_and_others_finish() {
    let stack = Stack::start(3).await;
    let sick = [("c1", 429), ("c2", 500)];
    for (cluster, code) in sick {
        let fault = Fault::from(FaultKind::Status { code });
        stack.fault_where(cluster, fault.verb(Verb::Apply).of_kind("ConfigMap"));
    }
    let names: Vec<String> = (0..30).map(|i| format!("m{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let policy = "  policy: {retry: {initialInterval: 400ms, backoff: 2, maxInterval: 1s}}";
    let spec = format!("{}\n{policy}", on(&["c1", "c2", "c3"]));
    let dig = stack
        .approved("x", &[App::new("a", maps(&names))], &spec)
        .await;
    dig.instantiate().await.unwrap();
    dig.until("c3 is done, the sick ones retry", |s| {
        let tried = |cluster| names.iter().any(|n| s.resource(cluster, n).attempts >= 4);
        all(s, "c3", &names, R::Applied) && tried("c1") && tried("c2")
    })
    .await;
    for (cluster, _) in sick {
        stack.heal(cluster).await;
    }
    let status = dig.until_instantiated().await;
    for (cluster, _) in sick {
        for (name, times) in applies(&stack, cluster) {
            // Every request is an attempt that the row counts: nothing repeats by itself.
            let attempts = status.resource(cluster, &name).attempts;
            assert_eq!(times.len(), attempts as usize, "{name} on {cluster}");
            for (n, pair) in times.windows(2).enumerate() {
                let least = (400 << n.min(2)).min(1_000);
                let gap = pair[1] - pair[0];
                assert!(gap >= least - 2, "{name} on {cluster}: {gap} < {least}");
            }
        }
    }
    assert!(applies(&stack, "c3").values().all(|times| times.len() == 1));
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_cluster_is_brought_up_and_emptied_with_one_request_per_object() {
    let stack = Stack::start(2).await;
    let names = ["m1", "m2", "m3", "m4", "m5", "m6"];
    stack.fault("c1", FaultKind::Latency { ms: 2_000 });
    let dig = stack
        .approved("x", &[App::new("a", maps(&names))], &on(&["c1", "c2"]))
        .await;
    dig.instantiate().await.unwrap();
    dig.until("c2 does not wait for c1", |s| {
        all(s, "c2", &names, R::Applied)
    })
    .await;
    let status = dig.until_instantiated().await;
    assert!(all(&status, "c1", &names, R::Applied));
    assert!(applies(&stack, "c1").values().all(|times| times.len() == 1));
    dig.terminate().await.unwrap();
    dig.until("the maps are Deleted", |s| all(s, "c1", &names, R::Deleted))
        .await;
    // Whether anybody else's object is in the namespace takes a list of every kind: no need to
    // wait for that.
    stack.heal("c1").await;
    dig.until_terminated().await;
    let deletes = stack.asked("c1", Verb::Delete);
    for name in names {
        assert_eq!(
            deletes.iter().filter(|n| *n == name).count(),
            1,
            "{deletes:?}"
        );
    }
    stack.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_takes_longer_than_a_heartbeat_is_waited_for() {
    let stack = Stack::start(1).await;
    let late = Fault::from(FaultKind::Latency { ms: 5_000 });
    stack.fault_where("c1", late.verb(Verb::Apply).named("slow"));
    let dig = stack
        .approved(
            "x",
            &[App::new("a", maps(&["slow", "other"]))],
            &on(&["c1"]),
        )
        .await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    // The local attempt is given up after a second; the regular one beats while it waits, or
    // Temporal would have sent another.
    assert_eq!(applies(&stack, "c1")["slow"].len(), 2);
    stack.end().await;
}

/// The answered requests that are a probe's second half: which cluster is it?
fn asks_who_it_is(entry: &LogEntry) -> bool {
    entry.verb == Verb::Get && entry.name.as_deref() == Some("kube-system")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healed_cluster_is_worked_on_by_everybody_after_the_one_probe_that_finds_it() {
    let stack = Stack::start(2).await;
    stack.fault("c1", FaultKind::BlackHole);
    let mut digs = vec![];
    for name in ["one", "two"] {
        let apps = [App::new("a", maps(&[name]))];
        let dig = stack.approved(name, &apps, &on(&["c1", "c2"])).await;
        dig.instantiate().await.unwrap();
        digs.push(dig);
    }
    for (dig, name) in digs.iter().zip(["one", "two"]) {
        dig.until("parked, and probed in vain", |s| {
            let probed = s.head.problems.iter().any(|p| p.attempts >= 2);
            let waits = s.state("c1", name) == R::Retrying;
            waits && probed && s.state("c2", name) == R::Applied
        })
        .await;
    }
    // What was swallowed until now has no answer.
    let swallowed = stack.log("c1").len();
    stack.heal("c1").await;
    for dig in &digs {
        let status = dig.until_instantiated().await;
        let cluster = status.head.apps[0].clusters.iter();
        let mut c1 = cluster.filter(|of| of.cluster == "sandbox+c1");
        assert_eq!(c1.next().unwrap().connectivity(), Connectivity::Available);
        assert_eq!(status.head.problems, []);
    }
    let mut log = stack.log("c1").split_off(swallowed);
    log.retain(|entry| entry.code.is_some());
    let applied = |name| {
        let first = |e: &LogEntry| e.verb == Verb::Apply && e.name.as_deref() == Some(name);
        log.iter().position(first).unwrap()
    };
    let both = applied("one").max(applied("two"));
    let shown = || {
        let line = |e: &LogEntry| format!("{} {:?} {:?} {:?}", e.time, e.verb, e.path, e.name);
        log.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    // The hello that finds it is the first request of all, and none of the two waits for another.
    assert_eq!(log[0].path.as_deref(), Some("/version"), "{}", shown());
    let probes = log[..both].iter().filter(|e| asks_who_it_is(e)).count();
    assert_eq!(probes, 1, "{}", shown());
    // Each object was asked for once: what waited was not sent while nobody answered.
    for name in ["one", "two"] {
        let sent = stack.asked("c1", Verb::Apply);
        assert_eq!(sent.iter().filter(|n| *n == name).count(), 1, "{sent:?}");
    }
    stack.end().await;
}
