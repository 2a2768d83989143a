//! A CRD counts as Applied only once its kinds are served.

use crate::{
    clusters::link::Link,
    judge,
    request::{self, Api},
};
use model::failure::Failure;
use serde_json::Value;
use std::time::Duration;

/// Pauses between looks: together a little under a second, which a workflow task can bear.
const PAUSES: [u64; 6] = [20, 50, 100, 150, 250, 350];

/// Waits a moment until what the CRD defines is served. Asked of discovery, which lists what is
/// Established and can be reached; the CRD itself may be hundreds of kilobytes, and is read once,
/// when it takes long, for the reason.
pub async fn wait(
    link: &Link,
    api: &Api,
    name: &str,
    crd: &Value,
    within: Duration,
) -> Result<(), Failure> {
    let paths = paths(crd);
    let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
    for pause in PAUSES {
        let mut served = !paths.is_empty();
        for path in &paths {
            match link.read(path, within).await {
                Ok(answer) => served &= answer.ok() && lists(&answer.json(), plural),
                Err(error) => return Err(error.failure()),
            }
            if !served {
                break;
            }
        }
        if served {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    let request = request::get(api, "", name).map_err(|error| judge::invalid(error.to_string()))?;
    let cause = match link.ask(request, within).await {
        Ok(answer) if answer.ok() => match condition(&answer.json()) {
            Ok(()) => return Ok(()),
            Err(why) => why,
        },
        Ok(answer) => format!("reading it was answered with {}", answer.code),
        Err(error) => return Err(error.failure()),
    };
    Err(judge::failure(
        "crdNotEstablished",
        &format!("{name}: {cause}"),
    ))
}

/// Where discovery lists what a CRD serves.
fn paths(crd: &Value) -> Vec<String> {
    let spec = &crd["spec"];
    let (Some(group), Some(versions)) = (spec["group"].as_str(), spec["versions"].as_array())
    else {
        return Vec::new();
    };
    versions
        .iter()
        .filter(|version| version["served"] == true)
        .filter_map(|version| Some(format!("/apis/{group}/{}", version["name"].as_str()?)))
        .collect()
}

/// Whether an APIResourceList has the resource.
fn lists(list: &Value, plural: &str) -> bool {
    let resources = list["resources"].as_array().map(Vec::as_slice);
    resources
        .unwrap_or_default()
        .iter()
        .any(|resource| resource["name"] == plural)
}

/// `Ok` if the condition is True, else why not.
fn condition(crd: &Value) -> Result<(), String> {
    let conditions = crd["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let find = |name: &str| conditions.iter().find(|c| c["type"] == name);
    match find("Established") {
        Some(established) if established["status"] == "True" => Ok(()),
        _ => Err(find("NamesAccepted")
            .filter(|names| names["status"] == "False")
            .and_then(|names| names["message"].as_str())
            .unwrap_or("not Established yet")
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{condition, lists, paths};
    use serde_json::json;

    #[test]
    fn every_version_that_is_served_is_looked_for() {
        let crd = json!({"spec": {"group": "example.com", "versions": [
            {"name": "v1", "served": true},
            {"name": "v1beta1", "served": false},
            {"name": "v2", "served": true},
        ]}});
        assert_eq!(
            paths(&crd),
            ["/apis/example.com/v1", "/apis/example.com/v2"]
        );
        assert_eq!(paths(&json!({})), [""; 0]);
        let list = json!({"resources": [{"name": "carts/status"}, {"name": "carts"}]});
        assert!(lists(&list, "carts") && !lists(&list, "cart") && !lists(&json!({}), "carts"));
    }

    #[test]
    fn established_is_asked_of_the_condition() {
        let crd = |conditions| json!({"status": {"conditions": conditions}});
        assert_eq!(
            condition(&crd(json!([{"type": "Established", "status": "True"}]))),
            Ok(())
        );
        assert_eq!(
            condition(&crd(json!([]))),
            Err("not Established yet".to_owned())
        );
        let clash = json!([
            {"type": "Established", "status": "False"},
            {"type": "NamesAccepted", "status": "False", "message": "carts is already in use"},
        ]);
        assert_eq!(
            condition(&crd(clash)),
            Err("carts is already in use".to_owned())
        );
    }
}
