//! Documents, listed, uploaded and deleted.

use crate::{
    answers::status_parts,
    fake::{Script, serve},
    run::{Buffer, against},
};
use cli::{output::Output, style::Terminals};
use proto::v1::{applied_document::Change, *};
use std::io::{self, Write};

fn digs() -> Vec<DeploymentIntentGroup> {
    let dig = |name: &str| DeploymentIntentGroup {
        project: "default".to_owned(),
        name: name.to_owned(),
        state: DigState::Created.into(),
        document_json: format!(
            r#"{{"apiVersion":"muster.dev/v1","kind":"DeploymentIntentGroup","metadata":{{"name":"{name}","project":"default"}}}}"#
        ),
        ..DeploymentIntentGroup::default()
    };
    let running = DeploymentIntentGroup {
        state: DigState::Instantiated.into(),
        context_id: "c1".to_owned(),
        context_state: ContextState::Instantiating.into(),
        counts: Some(DeployedCounts {
            applied: 2,
            pending: 1,
            ..DeployedCounts::default()
        }),
        total: 3,
        problem: "acme+b does not answer".to_owned(),
        ..dig("web")
    };
    vec![dig("db"), running]
}

#[tokio::test]
async fn lists_come_in_every_form() {
    for (line, out, err) in [
        (
            "get digs",
            "NAME   STATE          CONTEXT         APPLIED   READY   PROBLEM
db     Created        -               -         -
web    Instantiated   Instantiating   2/3       -       acme+b does not answer
",
            "note: acme+b does not answer; what is shown of it may be old\n",
        ),
        ("get dig -o name", "dig/default/db\ndig/default/web\n", ""),
        (
            "get dig -o yaml",
            "apiVersion: muster.dev/v1
kind: DeploymentIntentGroup
metadata:
  name: db
  project: default
---
apiVersion: muster.dev/v1
kind: DeploymentIntentGroup
metadata:
  name: web
  project: default
",
            "",
        ),
    ] {
        let (ran, _) = against(
            Script {
                digs: digs(),
                ..Script::default()
            },
            line,
        )
        .await;
        assert_eq!(
            (ran.out.as_str(), ran.err.as_str(), ran.code),
            (out, err, 0),
            "{line}"
        );
    }
    let (ran, _) = against(
        Script {
            digs: digs(),
            ..Script::default()
        },
        "get dig web -o json",
    )
    .await;
    let dig: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(dig["metadata"]["name"], "web");
    assert_eq!(dig["status"]["context"]["state"], "Instantiating");
    let (ran, _) = against(
        Script {
            digs: digs(),
            ..Script::default()
        },
        "get dig nope",
    )
    .await;
    assert_eq!(ran.code, 3);
    assert!(
        ran.err
            .starts_with("error: DIG default/nope does not exist; `muster get dig -A"),
        "{}",
        ran.err
    );
}

#[tokio::test]
async fn an_upload_carries_documents_and_their_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("a.yaml"),
        "kind: Cluster\nspec: {kubeconfig: k}\n",
    )
    .unwrap();
    std::fs::write(dir.path().join("k"), "secret").unwrap();
    let applied = |kind: &str, name: &str, change: Change| AppliedDocument {
        kind: kind.to_owned(),
        name: name.to_owned(),
        change: change.into(),
    };
    let script = || Script {
        applied: vec![
            applied("Cluster", "acme+edge-1", Change::Created),
            applied("CompositeApp", "shop/web/v1", Change::Configured),
            applied("DeploymentIntentGroup", "shop/web", Change::Unchanged),
        ],
        ..Script::default()
    };
    let line = format!(
        "-p shop apply -f {}/a.yaml --request-id r1",
        dir.path().display()
    );
    let (ran, heard) = against(script(), &line).await;
    assert_eq!(
        ran.out,
        "cluster/acme+edge-1 created\napp/shop/web/v1 configured\ndig/shop/web unchanged\n",
        "{}",
        ran.err
    );
    assert_eq!(
        heard,
        [
            "header r1 shop false",
            "source 36 true",
            "entry 1 spec.kubeconfig b\"secret\" true"
        ]
    );
    let (ran, _) = against(script(), &format!("{line} -o json")).await;
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        answer["documents"][0],
        serde_json::json!({"kind": "Cluster", "name": "acme+edge-1", "change": "created"})
    );
}

#[tokio::test]
async fn several_deletes_of_one_run_have_ids_of_their_own() {
    let (ran, heard) = against(
        Script::default(),
        "delete cluster acme+a acme+b --request-id r",
    )
    .await;
    assert_eq!(ran.out, "cluster/acme+a deleted\ncluster/acme+b deleted\n");
    assert_eq!(
        heard,
        ["delete cluster acme+a r", "delete cluster acme+b r-1"]
    );
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_program_quietly() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (address, _) = serve(Script {
        status: status_parts(),
        digs: digs(),
        ..Script::default()
    })
    .await;
    for line in [
        "status web",
        "status web -o json",
        "status web -o yaml",
        "get dig",
        "completion bash",
    ] {
        let words = format!("muster {line} --server http://{address}");
        let arguments = cli::parse(words.split_whitespace().map(Into::into)).unwrap();
        let err = Buffer::default();
        let output = Output::new(
            Box::new(Closed),
            Box::new(err.clone()),
            arguments.global.output,
            Terminals::default(),
        );
        assert_eq!(
            (cli::run(arguments, output).await, err.text().as_str()),
            (0, ""),
            "{line}"
        );
    }
}
