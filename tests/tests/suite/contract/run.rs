//! Runs one case on one server: substitutes names, asks, compares.

use std::{collections::BTreeMap, time::Duration};

use http::Request;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    case::{Case, Step, Want},
    expect::{differs, like},
    server::{Answer, Kind, Server},
};

/// For what a controller does a moment later, and for a namespace, which takes seconds to go.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// As much of an answer as helps to understand a failure.
const SHOWN: usize = 3_000;

type Names = BTreeMap<String, String>;

/// What is sent, with all names in it.
struct Sent {
    method: &'static str,
    path: String,
    content: String,
    accept: String,
    body: Vec<u8>,
    watch: bool,
}

/// Runs a case in a namespace of its own, `$ns`; `$x` is a word nobody else uses.
pub async fn run(server: &Server, at: usize, case: &Case) -> Result<(), String> {
    let word = format!("x{at}x");
    let namespace = format!("case-{at}");
    let mut names = Names::from([("ns".to_owned(), namespace.clone()), ("x".to_owned(), word)]);
    let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    let request = Request::post("/api/v1/namespaces").header("content-type", "application/json");
    let answer = server
        .ask(request.body(made.to_string().into()).unwrap())
        .await;
    if answer.code != 201 {
        return Err(format!("namespace {namespace}: {}", shown(&answer)));
    }
    for (number, step) in case.steps.iter().enumerate() {
        for i in 0..step.times.unwrap_or(1) {
            names.insert("i".to_owned(), i.to_string());
            let done = perform(server, step, &mut names).await;
            done.map_err(|why| {
                let number = number + 1;
                format!(
                    "{}\n  on {}, step {number}: {why}",
                    case.case,
                    server.name()
                )
            })?;
        }
    }
    // Goes by itself; what matters is that the server has less to keep.
    let delete = Request::delete(format!("/api/v1/namespaces/{namespace}"));
    server.ask(delete.body(vec![]).unwrap()).await;
    Ok(())
}

async fn perform(server: &Server, step: &Step, names: &mut Names) -> Result<(), String> {
    let sent = Sent::of(step, names);
    let instead = step
        .sandbox
        .as_ref()
        .filter(|_| server.kind == Kind::Sandbox);
    let general = step.want();
    let want = instead.unwrap_or(&general);
    let ends = Instant::now() + PATIENCE;
    let answer = loop {
        let answer = sent.ask(server, want).await;
        let Some(why) = unmet(want, &answer, names) else {
            break answer;
        };
        if !step.until || Instant::now() > ends {
            return Err(format!("{}\n  {why}\n  {}", sent.shown(), shown(&answer)));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    };
    if let Some(instead) = instead
        && unmet(&general, &answer, names).is_none()
    {
        return Err(format!(
            "{}\n  no longer differs in {:?}: {}",
            sent.shown(),
            instead.leaves_out,
            shown(&answer)
        ));
    }
    for (name, pointer) in &step.keep {
        let found = answer.body.pointer(pointer);
        let found = found.ok_or_else(|| format!("{pointer} is absent: {}", shown(&answer)))?;
        let text = found
            .as_str()
            .map_or_else(|| found.to_string(), str::to_owned);
        names.insert(name.clone(), text);
    }
    Ok(())
}

/// What is not as it must be.
fn unmet(want: &Want, answer: &Answer, names: &Names) -> Option<String> {
    let code = want.code.unwrap_or(200);
    if answer.code != code {
        return Some(format!("expected {code}, got {}", answer.code));
    }
    if let Some(text) = &want.text {
        let got = answer.body.as_str().unwrap_or_default();
        if !like(&named(text, names), got) {
            return Some(format!("expected the text {text:?}"));
        }
    }
    for (name, text) in &want.header {
        let got = answer.headers.get(name).map(|value| value.to_str());
        let got = got.and_then(Result::ok).unwrap_or_default();
        if !like(text, got) {
            return Some(format!("header {name}: expected {text:?}, got {got:?}"));
        }
    }
    if !want.events.is_empty() {
        let events = Value::Array(want.events.clone());
        return differs(&all_named(&events, names), Some(&answer.body), "events");
    }
    if want.has.is_null() {
        return None;
    }
    differs(&all_named(&want.has, names), Some(&answer.body), "")
}

impl Sent {
    fn of(step: &Step, names: &Names) -> Self {
        let json = "application/json";
        let verbs = [
            (&step.get, "GET", ""),
            (&step.watch, "GET", ""),
            (&step.head, "HEAD", ""),
            (&step.options, "OPTIONS", ""),
            (&step.delete, "DELETE", json),
            (&step.post, "POST", json),
            (&step.put, "PUT", json),
            (&step.apply, "PATCH", "application/apply-patch+yaml"),
            (&step.merge, "PATCH", "application/merge-patch+json"),
            (&step.jsonpatch, "PATCH", "application/json-patch+json"),
            (
                &step.strategic,
                "PATCH",
                "application/strategic-merge-patch+json",
            ),
        ];
        let mut said = verbs
            .into_iter()
            .filter_map(|(path, method, content)| Some((path.as_ref()?, method, content)));
        let (path, method, content) = said.next().unwrap_or_else(|| panic!("no verb in {step:?}"));
        assert!(said.next().is_none(), "two verbs in {step:?}");
        let mut path = named(path, names);
        let mut parameter = |text: &str| {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(text);
        };
        if step.apply.is_some() && step.by.as_deref() != Some("") {
            parameter(&format!(
                "fieldManager={}",
                step.by.as_deref().unwrap_or("m1")
            ));
        }
        if step.watch.is_some() {
            parameter("watch=true");
        }
        let mut body = all_named(&step.body, names);
        if step.pad > 0 {
            body["data"]["pad"] = "x".repeat(step.pad).into();
        }
        Self {
            method,
            path,
            content: step.content.as_deref().unwrap_or(content).to_owned(),
            accept: step.accept.as_deref().unwrap_or(json).to_owned(),
            body: match body {
                Value::Null => vec![],
                Value::String(raw) => raw.into(),
                body => body.to_string().into(),
            },
            watch: step.watch.is_some(),
        }
    }

    async fn ask(&self, server: &Server, want: &Want) -> Answer {
        let mut request = Request::builder()
            .method(self.method)
            .uri(&self.path)
            .header("accept", &self.accept)
            .header("user-agent", "contract/1");
        if !self.body.is_empty() {
            request = request.header("content-type", &self.content);
        }
        let request = request.body(self.body.clone()).unwrap();
        if self.watch && want.code.is_none() {
            server.watch(request, want.events.len()).await
        } else {
            server.ask(request).await
        }
    }

    fn shown(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let body: String = body.chars().take(SHOWN / 2).collect();
        format!("{} {} {body}", self.method, self.path)
    }
}

fn shown(answer: &Answer) -> String {
    let body: String = answer.body.to_string().chars().take(SHOWN).collect();
    format!("answer: {} {body}", answer.code)
}

/// The text with `$name` replaced, the longest names first.
fn named(text: &str, names: &Names) -> String {
    let mut longest: Vec<_> = names.iter().collect();
    longest.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let replace =
        |text: String, (name, value): &(&String, &String)| text.replace(&format!("${name}"), value);
    longest.iter().fold(text.to_owned(), replace)
}

fn all_named(value: &Value, names: &Names) -> Value {
    match value {
        Value::String(text) => named(text, names).into(),
        Value::Array(list) => list.iter().map(|item| all_named(item, names)).collect(),
        Value::Object(map) => {
            let fields = map.iter();
            let fields = fields.map(|(name, value)| (named(name, names), all_named(value, names)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}
