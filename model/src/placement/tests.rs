//! Placements as users write them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::document::{Document, convert, parse_documents};

fn clusters() -> Clusters {
    [("p+c1", "us"), ("p+c2", "us"), ("p+c3", "eu")]
        .into_iter()
        .map(|(id, region)| {
            (
                id.parse().unwrap(),
                BTreeMap::from([("region".to_owned(), region.to_owned())]),
            )
        })
        .collect()
}

/// `app=c1,c2 …`, or the error.
fn check(placement: &str, want: &str) {
    let text = format!(
        "apiVersion: muster.dev/v1\nkind: DeploymentIntentGroup\nmetadata: {{name: d}}\n\
         spec:\n  compositeApp: {{name: a, version: v1}}\n  placement: {placement}\n"
    );
    let raw = parse_documents("d.yaml", &text).unwrap();
    let Document::Dig(dig) = convert(&raw[0], "default").unwrap() else {
        panic!("no DIG")
    };
    let got = match resolve(&dig, ["x", "y"], &clusters()) {
        Err(error) => error.to_string(),
        Ok(placed) => placed
            .iter()
            .map(|(app, clusters)| {
                let names: Vec<&str> = clusters.iter().map(|id| id.name.as_str()).collect();
                format!("{app}={}", names.join(","))
            })
            .collect::<Vec<_>>()
            .join(" "),
    };
    assert_eq!(got, want, "{placement}");
}

#[test]
fn placements_resolve_as_the_spec_says() {
    for (placement, want) in [
        (
            "[{app: '*', allOf: [{cluster: p+c2}, {cluster: p+c1}]}]",
            "x=c1,c2 y=c1,c2",
        ),
        (
            "[{app: '*', allOf: [{label: region=us}]}]",
            "x=c1,c2 y=c1,c2",
        ),
        ("[{app: '*', anyOf: [{label: region=us}]}]", "x=c1 y=c1"),
        (
            "[{app: '*', anyOf: [{cluster: p+c3}, {cluster: p+c2}]}]",
            "x=c2 y=c2",
        ),
        // A mandatory cluster among the candidates is the one (spec §8.23).
        (
            "[{app: '*', allOf: [{cluster: p+c2}], anyOf: [{label: region=us}]}]",
            "x=c2 y=c2",
        ),
        (
            "[{app: '*', allOf: [{cluster: p+c3}], anyOf: [{label: region=us}]}]",
            "x=c1,c3 y=c1,c3",
        ),
        (
            "[{app: '*', allOf: [{cluster: p+c1}]}, {app: y, anyOf: [{cluster: p+c3}]}]",
            "x=c1 y=c3",
        ),
        (
            "[{app: '*', allOf: [{cluster: p+c1}, {label: region=us}]}]",
            "x=c1,c2 y=c1,c2",
        ),
        (
            "[{app: x, allOf: [{cluster: p+c1}]}]",
            "app y has no cluster; add a placement entry for it or for \"*\"",
        ),
        (
            "[]",
            "app x has no cluster; add a placement entry for it or for \"*\"",
        ),
        (
            "[{app: '*', allOf: [{cluster: p+c1}]}, {app: y}]",
            "app y has no cluster; add a placement entry for it or for \"*\"",
        ),
        (
            "[{app: '*', anyOf: [{cluster: p+c1}, {cluster: p+nil}]}]",
            "app x: cluster p+nil is not known; register it or name another one",
        ),
        (
            "[{app: '*', anyOf: [{label: region=mars}]}]",
            "app x: no cluster has the label region=mars; label one or choose another label",
        ),
        (
            "[{app: '*', allOf: [{label: ''}]}]",
            "app x: the label is empty; write it as key=value",
        ),
    ] {
        check(placement, want);
    }
}
