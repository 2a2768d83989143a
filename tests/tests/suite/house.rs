//! The house plan of ARCHITECTURE.md: who may name whom.

use std::{collections::BTreeMap, process::Command};

/// Our crates, and those outside that are confined: which crate may name which of them.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("model", &[]),
    (
        "workflows",
        &[
            "model",
            "temporalio-workflow",
            "temporalio-macros",
            "temporalio-protos",
            "temporalio-common-wasm",
        ],
    ),
    ("migrations", &["sea-orm-migration"]),
    ("store", &["model", "migrations", "sea-orm"]),
    (
        "temporal",
        &[
            "temporalio-sdk",
            "temporalio-client",
            "temporalio-common",
            "temporalio-protos",
            "temporalio-sdk-core",
            "tonic",
            "prost",
            "prost-reflect",
        ],
    ),
    ("proto", &["prost", "prost-types", "tonic", "tonic-prost"]),
    (
        "activities",
        &[
            "model",
            "workflows",
            "store",
            "kube",
            "k8s-openapi",
            "temporalio-sdk",
            "temporalio-common",
        ],
    ),
    (
        "worker",
        &[
            "workflows",
            "activities",
            "model",
            "store",
            "temporal",
            "temporalio-sdk",
        ],
    ),
    (
        "api",
        &[
            "model",
            "workflows",
            "store",
            "proto",
            "temporal",
            "tonic",
            "tonic-types",
            "tonic-reflection",
            "tonic-health",
            "tonic-prost",
            "prost",
            "prost-types",
        ],
    ),
    (
        "cli",
        &[
            "proto",
            "tonic",
            "tonic-types",
            "prost",
            "prost-types",
            "tonic-prost",
        ],
    ),
    ("sandbox", &["k8s-openapi"]),
];

/// Everything of ours, and the families that the table confines.
fn is_confined(name: &str) -> bool {
    let families = [
        "muster-",
        "kube",
        "k8s-openapi",
        "sea-orm",
        "sqlx",
        "tonic",
        "prost",
        "temporalio-",
    ];
    families.iter().any(|f| name.starts_with(f))
}

#[test]
fn a_crate_names_only_what_the_house_plan_allows() {
    let out = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let allowed: BTreeMap<&str, &[&str]> = MAY_NAME.iter().copied().collect();
    let mut wrong = vec![];
    let mut seen = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let Some(name) = package["name"]
            .as_str()
            .and_then(|n| n.strip_prefix("muster-"))
        else {
            continue;
        };
        // `dev` and `tests` may name all.
        let Some(allowed) = allowed.get(name) else {
            assert!(
                ["dev", "tests"].contains(&name),
                "{name} is not in the house plan"
            );
            continue;
        };
        seen += 1;
        for dependency in package["dependencies"].as_array().unwrap() {
            // Build and test code is free.
            if !dependency["kind"].is_null() {
                continue;
            }
            let full = dependency["name"].as_str().unwrap();
            let short = full.strip_prefix("muster-").unwrap_or(full);
            if is_confined(full) && !allowed.contains(&short) {
                wrong.push(format!("{name} → {full}"));
            }
        }
    }
    assert_eq!(seen, MAY_NAME.len());
    assert!(wrong.is_empty(), "not in the house plan: {wrong:?}");
}

#[test]
fn workflows_can_reach_neither_io_nor_a_clock() {
    let manifest = include_str!("../../../workflows/Cargo.toml");
    for banned in ["tokio", "kube", "sea-orm", "tonic", "hyper"] {
        assert!(!manifest.contains(banned), "workflows names {banned}");
    }
    assert!(include_str!("../../../workflows/clippy.toml").contains("std::collections::HashMap"));
}
