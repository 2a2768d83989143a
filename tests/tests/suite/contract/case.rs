//! Cases as they are written: a sentence and steps, each one request and what must come back.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;

/// One promise, shown in a namespace of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The promise.
    pub case: String,
    pub steps: Vec<Step>,
}

/// One request, and what must come back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    // Exactly one of these: the verb, with its path.
    pub get: Option<String>,
    pub head: Option<String>,
    pub post: Option<String>,
    pub put: Option<String>,
    pub delete: Option<String>,
    pub options: Option<String>,
    /// Server-side apply.
    pub apply: Option<String>,
    pub merge: Option<String>,
    pub jsonpatch: Option<String>,
    pub strategic: Option<String>,
    /// A watch: `events` are what it must say first.
    pub watch: Option<String>,

    /// The field manager of an apply.
    pub by: Option<String>,
    /// `Accept`.
    pub accept: Option<String>,
    /// `Content-Type`, where it is not what the verb says.
    pub content: Option<String>,
    /// JSON, or raw text.
    pub body: Value,
    /// Makes `data.pad` of the body that long.
    pub pad: usize,
    /// Sends it that often, with `$i` counting from 0.
    pub times: Option<usize>,
    /// Asks again until the answer is as expected.
    pub until: bool,

    // What must come back, as in `Want`.
    pub code: Option<u16>,
    pub has: Value,
    pub text: Option<String>,
    pub header: BTreeMap<String, String>,
    pub events: Vec<Value>,
    /// Names for parts of the answer, by JSON pointer.
    pub keep: BTreeMap<String, String>,
    /// What the sandbox answers instead.
    pub sandbox: Option<Want>,
}

/// What must come back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Want {
    /// Of the sandbox only: where users read that it answers this instead, by the first column of the
    /// table in `docs/sandbox.md`.
    pub leaves_out: String,
    /// The HTTP code; 200 if nothing is said.
    pub code: Option<u16>,
    /// What the JSON must have.
    pub has: Value,
    /// The whole body, when it is no JSON.
    pub text: Option<String>,
    /// Headers.
    pub header: BTreeMap<String, String>,
    /// Of a watch.
    pub events: Vec<Value>,
}

impl Step {
    /// What any server must answer.
    pub fn want(&self) -> Want {
        Want {
            leaves_out: String::new(),
            code: self.code,
            has: self.has.clone(),
            text: self.text.clone(),
            header: self.header.clone(),
            events: self.events.clone(),
        }
    }
}

/// All cases, in the order of the files' names.
pub fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    let only = std::env::var("MUSTER_CONTRACT_ONLY").unwrap_or_default();
    let mut all = vec![];
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let cases: Vec<Case> = serde_yaml_ng::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        all.extend(cases);
    }
    all.retain(|case| case.case.contains(&only));
    all
}
