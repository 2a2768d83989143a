//! Bad input, one table: what is wrong, what is typed, what is said. Each row is refused at the
//! command line in one sentence of object, cause and next step, as JSON with the details of the
//! gRPC status, and changes nothing. `docs/inputs.md` is rendered from it (`MUSTER_UPDATE=1`).

mod calls;
mod commands;
mod documents;
mod files;
mod kubeconfigs;
mod manifests;

use std::{fmt::Write as _, path::Path};
use tests::{api_only::ApiOnly, muster::muster};

/// One bad input.
pub struct Row {
    /// What is wrong, for people.
    what: &'static str,
    /// Files in a folder of the row's own.
    files: Vec<(&'static str, Vec<u8>)>,
    /// What is no file: links, pipes, sockets, folders.
    make: fn(&Path),
    stdin: Vec<u8>,
    /// The command: words parted by spaces, `DIR` is the folder, `_` a space within a word.
    run: &'static str,
    exit: u8,
    /// Parts of the sentence: file, document, field or object; cause; next step.
    says: Vec<&'static str>,
    /// The field of a violation in the gRPC details, or the reason where none is to blame; empty
    /// when the command refused by itself.
    details: &'static str,
}

impl Row {
    fn new(what: &'static str, run: &'static str, exit: u8, says: &[&'static str]) -> Self {
        Self {
            what,
            files: vec![],
            make: |_| (),
            stdin: vec![],
            run,
            exit,
            says: says.to_vec(),
            details: "",
        }
    }

    fn file(mut self, name: &'static str, text: impl Into<Vec<u8>>) -> Self {
        self.files.push((name, text.into()));
        self
    }

    fn with(mut self, make: fn(&Path)) -> Self {
        self.make = make;
        self
    }

    fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    fn details(mut self, field_or_reason: &'static str) -> Self {
        self.details = field_or_reason;
        self
    }
}

/// What every row finds in the store: a cluster, an app, and groups that cannot be instantiated.
const STORED: &str = "\
apiVersion: muster.dev/v1
kind: Cluster
metadata: {name: c1, labels: {zone: z1}}
spec: {kubeconfig: k.yaml}
---
apiVersion: muster.dev/v1
kind: CompositeApp
metadata: {project: p, name: shop, version: v1}
spec: {apps: [{name: back, manifests: [m.yaml]}]}
---
apiVersion: muster.dev/v1
kind: CompositeApp
metadata: {project: p, name: two, version: v1}
spec: {apps: [{name: a, manifests: [m.yaml]}, {name: b, manifests: [m.yaml]}]}
";

/// Groups by name, composite app and placement; all but `created` are approved, `running` is
/// instantiated.
const GROUPS: &[(&str, &str, &str)] = &[
    ("created", "shop", "{app: '*', allOf: [{cluster: c1}]}"),
    (
        "lost",
        "shop",
        "{app: '*', allOf: [{cluster: acme+nowhere}]}",
    ),
    (
        "unlabelled",
        "shop",
        "{app: '*', anyOf: [{label: zone=z9}]}",
    ),
    ("blank", "shop", "{app: '*', anyOf: [{label: ''}]}"),
    ("nowhere", "shop", "{app: '*'}"),
    ("unplaced", "shop", ""),
    (
        "twice",
        "two",
        "{app: a, allOf: [{cluster: c1}]}, {app: b, anyOf: [{label: zone=z1}]}",
    ),
    ("running", "shop", "{app: '*', allOf: [{cluster: c1}]}"),
    ("second", "shop", "{app: '*', allOf: [{cluster: c1}]}"),
];

const KUBECONFIG: &str = "{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}], users: [{name: u, user: {token: zq7-planted-marker}}]}";
const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {k: v}\n";

async fn store(api: &ApiOnly) {
    let dir = api.dir.path().join("stored");
    std::fs::create_dir(&dir).unwrap();
    let mut text = STORED.to_owned();
    for (name, app, placement) in GROUPS {
        write!(
            text,
            "---\napiVersion: muster.dev/v1\nkind: DeploymentIntentGroup\nmetadata: {{project: p, name: {name}}}\nspec: {{compositeApp: {{name: {app}, version: v1}}, placement: [{placement}]}}\n"
        )
        .unwrap();
    }
    for (name, text) in [
        ("k.yaml", KUBECONFIG),
        ("m.yaml", CONFIG_MAP),
        ("all.yaml", &text),
    ] {
        std::fs::write(dir.join(name), text).unwrap();
    }
    let all = format!("apply -f {}", dir.join("all.yaml").display());
    let mut lines = vec![all];
    for (name, _, _) in GROUPS.iter().filter(|(name, ..)| *name != "created") {
        lines.push(format!("approve p/{name}"));
    }
    lines.push("instantiate p/running".to_owned());
    for line in lines {
        let ran = muster(&words(&line, &api.url), vec![]).await;
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    }
}

fn words(line: &str, server: &str) -> Vec<String> {
    let mut words: Vec<String> = line.split(' ').map(|word| word.replace('_', " ")).collect();
    if !line.contains("--server") {
        words.push(format!("--server={server}"));
    }
    words
}

/// What a reader of the table sees of an error: without the row's folder and the free port.
fn shown(text: &str, dir: &Path, server: &str) -> String {
    let dir = dir.display().to_string();
    text.replace(&format!("{dir}/"), "")
        .replace(&dir, ".")
        .replace(server, "http://127.0.0.1:7443")
        .trim_end()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_input_is_told_plainly_and_changes_nothing() {
    let api = ApiOnly::start().await;
    store(&api).await;
    let before = api.everything().await;
    let mut page = String::from(HEAD);
    let mut wrong = vec![];
    let mut rows = 0;
    for (title, group) in [
        ("Documents", documents::rows()),
        ("Manifests", manifests::rows()),
        ("Files and folders", files::rows()),
        ("Kubeconfigs", kubeconfigs::rows()),
        ("Commands and verbs", commands::rows()),
    ] {
        write!(
            page,
            "\n## {title}\n\n| wrong | `muster` says | exit |\n|---|---|---|\n"
        )
        .unwrap();
        for row in group {
            rows += 1;
            let said = match check(&api, &row).await {
                Ok(said) => said,
                Err(why) => {
                    wrong.push(format!("{}: {why}", row.what));
                    continue;
                }
            };
            if api.everything().await != before {
                wrong.push(format!("{}: it changed something", row.what));
            }
            let said = said.lines().next().unwrap_or_default();
            // The verbs of a state are in docs/states.md.
            let said = match said.split_once("possible now: ") {
                Some((before, _)) => format!("{before}possible now: …"),
                None => said.replace('|', "\\|"),
            };
            writeln!(page, "| {} | {said} | {} |", row.what, row.exit).unwrap();
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(rows >= 60, "{rows} rows");
    assert_eq!(calls::check(&api).await, Vec::<String>::new());
    assert_eq!(api.everything().await, before);
    api.end().await;
    kept("docs/inputs.md", &page);
}

const HEAD: &str = "# What is refused, and what is said

Rendered from the table of `tests/tests/suite/inputs/` (`MUSTER_UPDATE=1 cargo test -p muster-tests --test suite inputs`),
which also holds that each row changes nothing, and that the same violation stands in the gRPC
status (`BadRequest`, `PreconditionFailure`, `ErrorInfo`) and in `-o json`.
Exit codes: 1 failed, 2 usage, 3 not found, 4 refused, 5 timed out, 6 unreachable.
";

/// Compares with a generated page, or writes it.
fn kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if std::env::var_os("MUSTER_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(text.lines()).find(|(a, b)| a != b);
    assert!(
        kept == text,
        "{name} is stale, run with MUSTER_UPDATE=1: {differs:?}"
    );
}

/// The sentence of a row that is as it should be.
async fn check(api: &ApiOnly, row: &Row) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in &row.files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    (row.make)(dir.path());
    let line = row.run.replace(
        "DIR",
        &dir.path().display().to_string().replace('_', "\u{1}"),
    );
    let mut words: Vec<String> = words(&line, &api.url);
    words
        .iter_mut()
        .for_each(|word| *word = word.replace('\u{1}', "_"));
    let ran = muster(&words, row.stdin.clone()).await;
    let said = shown(&ran.err, dir.path(), &api.url);
    let fail = |why: String| Err(format!("{why}\n    {said}"));
    if ran.code != row.exit || !ran.out.is_empty() {
        return fail(format!(
            "exit code {}, {} on standard output",
            ran.code, ran.out
        ));
    }
    if let Some(missing) = row.says.iter().find(|part| !said.contains(**part)) {
        return fail(format!("does not say {missing:?}"));
    }
    if !said.starts_with("error: ") || !said.contains("; ") || said.len() > 3_000 {
        return fail(format!(
            "no sentence with a next step, {} bytes",
            said.len()
        ));
    }
    if said.contains("zq7-planted-marker") {
        return fail("quotes a value".to_owned());
    }
    if row.run.contains("-o ") {
        return Ok(said.trim_start_matches("error: ").to_owned());
    }
    words.push("--output=json".to_owned());
    let json = muster(&words, row.stdin.clone()).await;
    let parsed: serde_json::Value = match serde_json::from_str(&json.err) {
        Ok(parsed) => parsed,
        Err(error) => return fail(format!("-o json: {error}: {}", json.err)),
    };
    let error = &parsed["error"];
    if error["exitCode"] != row.exit || json.code != row.exit {
        return fail(format!("-o json: {parsed}"));
    }
    let fields = error["details"].as_array().into_iter().flatten();
    let mut places: Vec<String> = fields
        .filter_map(|detail| detail["field"].as_str())
        .map(|field| shown(field, dir.path(), &api.url))
        .collect();
    places.extend(error["reason"].as_str().map(str::to_owned));
    if row.details.is_empty() != places.is_empty()
        || !row.details.is_empty() && !places.iter().any(|place| place == row.details)
    {
        return fail(format!("the details name {places:?}"));
    }
    Ok(said.trim_start_matches("error: ").to_owned())
}
