//! Cluster checks, and the orphan ledger.

use crate::{fake::Script, run::against};
use proto::v1::*;

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
