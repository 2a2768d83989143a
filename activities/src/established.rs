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

/// Waits a moment for `Established`.
pub async fn wait(link: &Link, api: &Api, name: &str, within: Duration) -> Result<(), Failure> {
    let request = request::get(api, "", name).map_err(|error| judge::invalid(error.to_string()))?;
    let mut cause = "not Established yet".to_owned();
    for pause in PAUSES {
        match link.ask(request.clone(), within).await {
            Ok(answer) if answer.ok() => match condition(&answer.json()) {
                Ok(()) => return Ok(()),
                Err(why) => cause = why,
            },
            Ok(answer) => cause = format!("reading it was answered with {}", answer.code),
            Err(error) => return Err(error.failure()),
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    Err(judge::failure(
        "crdNotEstablished",
        &format!("{name}: {cause}"),
    ))
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
    use super::condition;
    use serde_json::json;

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
