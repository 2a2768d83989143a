//! A real API server as users have it: kubeconfigs with files, certificates, other identities; what
//! `muster cluster check` says of them.

use serde_json::{Value, json};
use std::{fs, path::Path};
use tests::{
    Stack,
    control_plane::{By, ControlPlane, Profile},
};

async fn muster(stack: &Stack, words: &str) -> (u8, String) {
    let line = format!("{words} --server http://{}", stack.grpc);
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let ran = tests::muster::muster(&words, Vec::new()).await;
    (ran.code, ran.out + &ran.err)
}

fn changed(kubeconfig: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut config: Value = serde_yaml_ng::from_str(kubeconfig).unwrap();
    change(&mut config);
    serde_yaml_ng::to_string(&config).unwrap()
}

/// Beside its token and authority in files of their own, as `kubectl config` writes them.
fn in_files(folder: &Path, kubeconfig: &str) -> String {
    use base64::Engine;
    changed(kubeconfig, |config| {
        let user = config["users"][0]["user"].as_object_mut().unwrap();
        let token = user.remove("token").unwrap();
        fs::write(
            folder.join("token"),
            format!("{}\n", token.as_str().unwrap()),
        )
        .unwrap();
        user.insert("tokenFile".into(), json!("token"));
        let cluster = config["clusters"][0]["cluster"].as_object_mut().unwrap();
        let authority = cluster.remove("certificate-authority-data").unwrap();
        let engine = base64::engine::general_purpose::STANDARD;
        let authority = engine.decode(authority.as_str().unwrap()).unwrap();
        fs::write(folder.join("ca.crt"), authority).unwrap();
        cluster.insert("certificate-authority".into(), json!("ca.crt"));
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_cluster_is_applied_with_its_files_and_checked() {
    let Some(plane) = ControlPlane::start("k", Profile::Server).await else {
        return;
    };
    let stack = Stack::start(1).await;
    let folder = tempfile::tempdir().unwrap();
    let token = plane.kubeconfig_by(By::Token);
    let mut documents = String::new();
    for (name, kubeconfig) in [
        ("files", in_files(folder.path(), &token)),
        ("certificate", plane.kubeconfig_by(By::Certificate)),
        (
            "somebody",
            changed(&token, |config| {
                config["users"][0]["user"]["as"] = "somebody".into();
            }),
        ),
        (
            "unverified",
            changed(&token, |config| {
                let cluster = config["clusters"][0]["cluster"].as_object_mut().unwrap();
                cluster.remove("certificate-authority-data");
                cluster.insert("insecure-skip-tls-verify".into(), true.into());
            }),
        ),
        (
            "expired",
            changed(&token, |config| {
                config["users"][0]["user"]["token"] = "no-more".into();
            }),
        ),
    ] {
        fs::write(folder.path().join(format!("{name}.yaml")), kubeconfig).unwrap();
        documents.push_str(&format!(
            "---\napiVersion: muster.dev/v1\nkind: Cluster\nmetadata: {{name: {name}, provider: real}}\nspec: {{kubeconfig: ./{name}.yaml}}\n"
        ));
    }
    let file = folder.path().join("clusters");
    fs::write(&file, documents).unwrap();
    let (code, text) = muster(&stack, &format!("apply -f {}", file.display())).await;
    assert_eq!(code, 0, "{text}");
    for (name, exit, parts) in [
        (
            "files",
            0,
            ["Kubernetes v1.", "permits all that Muster needs"],
        ),
        ("certificate", 0, ["knows us as admin", "permits all"]),
        (
            "unverified",
            0,
            ["permits all", "certificate is not verified"],
        ),
        (
            "somebody",
            1,
            ["the credentials may not get namespaces", "next: grant"],
        ),
        (
            "expired",
            1,
            ["the credentials are not accepted", "next: replace"],
        ),
    ] {
        let (code, text) = muster(&stack, &format!("cluster check real+{name}")).await;
        assert_eq!(code, exit, "{name}: {text}");
        for part in parts {
            assert!(text.contains(part), "{name}: {part:?} is not in {text}");
        }
    }
    let (_, text) = muster(&stack, "cluster check real+somebody -o json").await;
    let text = text
        .lines()
        .take_while(|line| *line != "}")
        .collect::<Vec<_>>()
        .join("\n")
        + "}";
    let look: Value = serde_json::from_str(&text).unwrap();
    let missing = look["missingPermissions"].as_array().unwrap();
    assert!(
        missing.contains(&"create deployments.apps".into()),
        "{look}"
    );
    stack.end().await;
}
