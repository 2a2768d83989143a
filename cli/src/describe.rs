//! `muster describe`: the document, the problems, the last events.

use crate::{
    args::Describe,
    events::{self, Log},
    fault::Fault,
    json, kinds,
    names::{self, DigName, Kind},
    session::Session,
    status,
    thing::Thing,
    tree,
    words::plain,
};
use jiff::Timestamp;
use proto::v1::StatusView;
use serde_json::{Value, json};

const EVENTS: i32 = 20;

pub async fn run(session: &mut Session, arguments: &Describe) -> Result<(), Fault> {
    let (kind, names) = names::targets(&arguments.target)?;
    if names.is_empty() {
        return Err(Fault::usage(format!(
            "name the {} to describe: `muster describe {0} NAME`",
            kind.word()
        )));
    }
    // Apps come with their objects only where a document is asked for.
    let mut documents = Vec::new();
    for name in &names {
        for thing in kinds::named(session, kind, name).await? {
            documents.push(complete(session, thing).await?);
        }
    }
    let mut values = Vec::new();
    for (index, thing) in documents.iter().enumerate() {
        if session.output.structured() {
            values.push(value(session, thing).await?);
        } else {
            if index > 0 {
                session.output.line("---")?;
            }
            show(session, thing).await?;
        }
    }
    match values.len() {
        0 => Ok(()),
        1 => session.output.value(&values[0]),
        _ => session.output.value(&values),
    }
}

/// A listed app lacks its document; fetch it by its version.
async fn complete(session: &mut Session, thing: Thing) -> Result<Thing, Fault> {
    match &thing {
        Thing::App(app) if app.document_json.is_empty() => {
            let name = format!("{}/{}/{}", app.project, app.name, app.version);
            let mut found = kinds::named(session, Kind::App, &name).await?;
            Ok(found.pop().unwrap_or(thing))
        }
        _ => Ok(thing),
    }
}

fn dig_of(thing: &Thing) -> Option<DigName> {
    match thing {
        Thing::Dig(dig) => Some(DigName {
            project: dig.project.clone(),
            name: dig.name.clone(),
        }),
        _ => None,
    }
}

async fn value(session: &mut Session, thing: &Thing) -> Result<Value, Fault> {
    let mut value = json!({ "name": thing.name(), "document": thing.document()?, "problems": [], "events": [] });
    if let Some(dig) = dig_of(thing) {
        let status = json::Status::from(status::head(session, &dig, StatusView::Summary).await?);
        let events = events::tail(session, &dig, EVENTS).await?;
        value["problems"] = serde_json::to_value(&status.problems)?;
        value["status"] = serde_json::to_value(&status)?;
        value["events"] = serde_json::to_value(
            events
                .into_iter()
                .map(json::Event::from)
                .collect::<Vec<_>>(),
        )?;
    } else {
        value["status"] = thing.json()?["status"].take();
        if let Thing::Cluster(cluster) = thing
            && let Some(error) = &cluster.error
        {
            value["problems"] =
                json!([{ "cluster": cluster.id, "code": error.code, "message": error.message }]);
        }
    }
    Ok(value)
}

async fn show(session: &mut Session, thing: &Thing) -> Result<(), Fault> {
    let style = session.output.style;
    let now = Timestamp::now();
    session
        .output
        .line(serde_yaml_ng::to_string(&thing.document()?)?.trim_end())?;
    match thing {
        Thing::Dig(_) => {
            let Some(dig) = dig_of(thing) else {
                return Ok(());
            };
            let head = status::head(session, &dig, StatusView::Summary).await?;
            let events = events::tail(session, &dig, EVENTS).await?;
            heading(session, "STATUS")?;
            session.output.lines(&tree::opening(&head, now, style))?;
            heading(session, "PROBLEMS")?;
            let problems = tree::problems(&head, now, style);
            if problems.is_empty() {
                session.output.line("  none")?;
            }
            session.output.lines(&problems)?;
            heading(session, "LAST EVENTS")?;
            let lines = Log::new(&session.output).lines(&events);
            if lines.is_empty() {
                session.output.line("  none")?;
            }
            session.output.lines(&lines)
        }
        Thing::Cluster(cluster) => {
            heading(session, "STATUS")?;
            let connectivity = crate::words::connectivity(cluster.connectivity);
            let age = crate::time::age(cluster.since.as_ref(), now);
            session.output.line(&format!(
                "  {}  {} for {age}",
                cluster.id,
                style.state(connectivity)
            ))?;
            if !cluster.uid.is_empty() {
                session.output.line(&format!("  uid {}", cluster.uid))?;
            }
            heading(session, "PROBLEMS")?;
            match &cluster.error {
                Some(error) => {
                    session.output.line(&format!(
                        "  {}: {}",
                        plain(&error.code),
                        plain(&error.message)
                    ))?;
                    let check = session.hint(&format!("cluster check {}", cluster.id));
                    session
                        .output
                        .line(&format!("      next: {check} looks at it now"))
                }
                None => session.output.line("  none"),
            }
        }
        Thing::App(app) => {
            heading(session, "APPS")?;
            for part in &app.apps {
                let after = match part.depends_on.join(", ") {
                    names if names.is_empty() => String::new(),
                    names => format!(", after {names}"),
                };
                let objects = crate::words::count(part.object_count, "object");
                session
                    .output
                    .line(&format!("  {}  {objects}{after}", part.name))?;
            }
            Ok(())
        }
    }
}

fn heading(session: &mut Session, text: &str) -> Result<(), Fault> {
    let text = session.output.style.bold(text);
    session.output.line("")?;
    session.output.line(&text)
}
