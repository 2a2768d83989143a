//! The one node, which kwok plays.

use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use std::time::Duration;

const NAME: &str = "node-1";
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub async fn has_default_namespace(client: &Client) -> bool {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .get_opt("default")
        .await
        .is_ok_and(|n| n.is_some())
}

/// Creates the node and waits until pods may be put on it.
pub async fn join(client: &Client) -> Result<(), String> {
    let nodes: Api<Node> = Api::all(client.clone());
    let node = serde_json::from_value(json!({
        "metadata": {
            "name": NAME,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            // As a kubelet labels its node; pods of real applications ask for it.
            "labels": {"kubernetes.io/os": "linux", "kubernetes.io/hostname": NAME},
        },
    }));
    let node = node.map_err(|error| error.to_string())?;
    let created = nodes.create(&PostParams::default(), &node).await;
    created.map_err(|error| error.to_string())?;
    // Put on at creation, and taken off by a controller that real kubelets have.
    let untainted = Patch::Merge(json!({"spec": {"taints": null}}));
    let patched = nodes.patch(NAME, &PatchParams::default(), &untainted).await;
    patched.map_err(|error| error.to_string())?;
    loop {
        if let Ok(node) = nodes.get(NAME).await
            && is_ready(&node)
        {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn is_ready(node: &Node) -> bool {
    let status = node.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let mut conditions = conditions.unwrap_or_default().iter();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
