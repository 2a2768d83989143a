//! Cases 26 and 27: objects of somebody else, of another DIG, and of several.

use super::kube;
use proto::v1::{ContextState, ResourceState as R};
use tests::{
    At, Stack,
    documents::{App, config_map, config_maps as maps, on},
};
use tonic::Code;

everywhere! {
    case_26_a_foreign_object_is_left_as_it_is_and_an_object_belongs_to_one_dig,
    case_27_a_shared_namespace_goes_with_its_last_dig_and_is_kept_for_somebody_elses_object,
}

async fn case_26_a_foreign_object_is_left_as_it_is_and_an_object_belongs_to_one_dig(at: At) {
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let kube = kube(&stack, "c1").await;
    let namespace: Namespace =
        serde_json::from_value(serde_json::json!({"metadata": {"name": "shop"}})).unwrap();
    let foreign: ConfigMap = serde_json::from_value(
        serde_json::json!({"metadata": {"name": "r2"}, "data": {"mine": "untouched"}}),
    )
    .unwrap();
    let namespaces: ::kube::Api<Namespace> = ::kube::Api::all(kube.clone());
    namespaces
        .create(&Default::default(), &namespace)
        .await
        .unwrap();
    let api: ::kube::Api<ConfigMap> = ::kube::Api::namespaced(kube.clone(), "shop");
    let foreign = api.create(&Default::default(), &foreign).await.unwrap();

    let apps = [App::new("a", maps(&["r1", "r2"]))];
    let dig = stack.approved("x", &apps, &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    let status = dig.until_context(ContextState::InstantiateFailed).await;
    assert_eq!(status.state("c1", "r2"), R::Failed);
    let error = status.resource("c1", "r2").last_error.clone().unwrap();
    assert!(error.message.contains("exists, managed by"), "{error:?}");
    assert_eq!(status.state("c1", "r1"), R::Applied);
    assert_eq!(status.state("c2", "r2"), R::Applied);

    let second = stack.approved("y", &apps, &on(&["c2"])).await;
    let refused = second.instantiate().await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert!(refused.message().contains("p/x"), "{}", refused.message());

    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    assert_eq!(api.get("r2").await.unwrap(), foreign);
    assert!(
        namespaces
            .get("shop")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_none()
    );
    second.instantiate().await.unwrap();
    second.until_instantiated().await;
    stack.end().await;
}

async fn case_27_a_shared_namespace_goes_with_its_last_dig_and_is_kept_for_somebody_elses_object(
    at: At,
) {
    use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
    let Some(stack) = Stack::at(at, 1).await else {
        return;
    };
    let kube = kube(&stack, "c1").await;
    let namespaces: ::kube::Api<Namespace> = ::kube::Api::all(kube.clone());
    let one = stack
        .approved("one", &[App::new("a", config_map("m1"))], &on(&["c1"]))
        .await;
    let two = stack
        .approved("two", &[App::new("a", config_map("m2"))], &on(&["c1"]))
        .await;
    for round in 0..2 {
        for dig in [&one, &two] {
            dig.instantiate().await.unwrap();
            dig.until_instantiated().await;
        }
        one.terminate().await.unwrap();
        one.until_terminated().await;
        assert!(namespaces.get_opt("shop").await.unwrap().is_some());
        if round == 1 {
            let api: ::kube::Api<ConfigMap> = ::kube::Api::namespaced(kube.clone(), "shop");
            let foreign =
                serde_json::from_value(serde_json::json!({"metadata": {"name": "somebodys"}}))
                    .unwrap();
            api.create(&Default::default(), &foreign).await.unwrap();
        }
        two.terminate().await.unwrap();
        let status = two.until_terminated().await;
        let left = namespaces.get_opt("shop").await.unwrap();
        if round == 0 {
            assert!(left.is_none());
        } else {
            let labels = left.unwrap().metadata.labels.unwrap_or_default();
            assert!(
                !labels.keys().any(|k| k.starts_with("muster.dev/")),
                "{labels:?}"
            );
            // It is no object of the app and not counted, so it is the log that says so.
            assert!(status.resources.iter().all(|r| r.kind != "Namespace"));
            let events = two.events().await;
            let of_it = events.iter().rev();
            let mut of_it = of_it.filter(|e| e.object == "Namespace/shop");
            let last = of_it.next().unwrap();
            assert_eq!((&*last.event, &*last.to), ("Kept", "Deleted"), "{last:?}");
            assert!(last.message.contains("somebodys"), "{last:?}");
        }
    }
    stack.end().await;
}
