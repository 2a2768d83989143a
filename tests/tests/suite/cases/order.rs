//! Case 1: the order inside one app on one cluster.

use super::all_of;
use sandbox::host::Verb;
use tests::{
    At, Dig, Stack,
    client::became,
    documents::{App, on},
};

everywhere! {
    case_1_each_wave_is_sent_when_the_one_before_it_is_applied_and_goes_before_it,
}

/// Names by wave: what others live in, what defines kinds, what is referred to, what binds, what
/// runs, what can block the rest.
const WAVES: [&[&str]; 6] = [
    &["shop"],
    &["gizmos.example.com"],
    &["account", "role", "settings"],
    &["binding", "front"],
    &["work", "gizmo"],
    &["hook"],
];

/// Written the other way round.
const TEXT: &str = "---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: hook}
webhooks: []
---
apiVersion: example.com/v1
kind: Gizmo
metadata: {name: gizmo}
spec: {}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: work}
spec:
  replicas: 0
  selector: {matchLabels: {app: work}}
  template:
    metadata: {labels: {app: work}}
    spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Service
metadata: {name: front}
spec: {selector: {app: work}, ports: [{port: 80}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: binding}
roleRef: {kind: Role, name: role, apiGroup: rbac.authorization.k8s.io}
subjects: [{kind: ServiceAccount, name: account}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: role}
rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: account}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gizmos.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: gizmos, singular: gizmo, kind: Gizmo, listKind: GizmoList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

async fn case_1_each_wave_is_sent_when_the_one_before_it_is_applied_and_goes_before_it(at: At) {
    let Some(stack) = Stack::at(at, 2).await else {
        return;
    };
    let before = all_of(&stack, &["c1", "c2"]).await;
    let apps = [App::new("a", TEXT)];
    let dig = stack.approved("x", &apps, &on(&["c1", "c2"])).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    let mut waves = WAVES;
    for cluster in ["c1", "c2"] {
        in_turn(&stack, &dig, cluster, (Verb::Apply, "Applied"), &waves).await;
    }
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    waves.reverse();
    for cluster in ["c1", "c2"] {
        in_turn(&stack, &dig, cluster, (Verb::Delete, "Deleted"), &waves).await;
    }
    assert_eq!(all_of(&stack, &["c1", "c2"]).await, before);
    stack.end().await;
}

/// The first request about anything in a wave comes when all of the wave before is through.
async fn in_turn(stack: &Stack, dig: &Dig, cluster: &str, by: (Verb, &str), waves: &[&[&str]]) {
    let (verb, through) = by;
    let log = stack.log(cluster);
    let events = dig.events().await;
    let asked = |name: &str| {
        let about =
            |e: &&sandbox::host::LogEntry| e.verb == verb && e.name.as_deref() == Some(name);
        let found = log.iter().find(about);
        let found = found.unwrap_or_else(|| panic!("no {verb:?} of {name} on {cluster}: {log:?}"));
        found.time.as_millisecond()
    };
    for pair in waves.windows(2) {
        for (earlier, later) in pair[0]
            .iter()
            .flat_map(|e| pair[1].iter().map(move |l| (e, l)))
        {
            let (done, sent) = (became(&events, cluster, earlier, through), asked(later));
            assert!(
                done <= sent,
                "{cluster}: {later} was sent at {sent}, {earlier} was {through} at {done}"
            );
        }
    }
}
