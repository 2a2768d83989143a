//! `muster get`: lists, and single things by name.

use crate::{
    args::Get,
    fault::Fault,
    kinds,
    names::{self, Kind},
    orphans,
    output::Format,
    session::Session,
    table::Table,
    thing::{self, Thing},
};
use serde_json::json;

pub async fn run(session: &mut Session, arguments: &Get) -> Result<(), Fault> {
    if let Some((first, ids)) = arguments.target.split_first() {
        let (kind, id) = first.split_once('/').unwrap_or((first, ""));
        if orphans::is_kind(kind) {
            let mut ids = ids.to_vec();
            ids.extend((!id.is_empty()).then(|| id.to_owned()));
            return orphans::get(session, &ids).await;
        }
    }
    let (kind, names) = names::targets(&arguments.target)?;
    if arguments.all_projects && (kind != Kind::Dig || !names.is_empty()) {
        return Err(Fault::usage(
            "--all-projects lists deployment intent groups: `muster get dig -A`",
        ));
    }
    let mut things = Vec::new();
    let mut unreachable = Vec::new();
    if names.is_empty() {
        let list = kinds::list(
            session,
            kind,
            arguments.all_projects,
            session.output.structured(),
        )
        .await?;
        things = list.things;
        unreachable = list.unreachable;
    } else {
        for name in &names {
            things.extend(kinds::named(session, kind, name).await?);
        }
    }
    show(
        session,
        kind,
        &things,
        &unreachable,
        names.len() == 1,
        arguments.all_projects,
    )
}

fn show(
    session: &mut Session,
    kind: Kind,
    things: &[Thing],
    unreachable: &[String],
    single: bool,
    projects: bool,
) -> Result<(), Fault> {
    let width = session.output.width();
    match session.output.format {
        Format::Name => {
            for thing in things {
                session.output.line(&thing.name())?;
            }
            return Ok(());
        }
        Format::Yaml => {
            for (index, thing) in things.iter().enumerate() {
                if index > 0 {
                    session.output.line("---")?;
                }
                session.output.value(&thing.document()?)?;
            }
            return Ok(());
        }
        Format::Json => {
            let mut items = things
                .iter()
                .map(Thing::json)
                .collect::<Result<Vec<_>, _>>()?;
            return match items.pop() {
                Some(item) if single && items.is_empty() => session.output.value(&item),
                last => {
                    items.extend(last);
                    session.output.value(
                        &json!({ "kind": "List", "items": items, "unreachable": unreachable }),
                    )
                }
            };
        }
        Format::Table | Format::Wide => {}
    }
    if things.is_empty() {
        session.output.note(&match kind {
            Kind::Cluster => "no clusters".to_owned(),
            _ if projects => "no digs in any project".to_owned(),
            _ => format!("no {}s in project {}", kind.word(), session.global.project),
        });
        return Ok(());
    }
    let wide = session.output.format == Format::Wide;
    let mut table = Table::new(&thing::heads(kind, wide, projects));
    for thing in things {
        table.row(thing.cells(wide, projects, session.output.style));
    }
    session
        .output
        .lines(&table.lines(width.filter(|_| !wide)))?;
    note_unreachable(session, unreachable);
    Ok(())
}

/// Lists name the clusters that do not answer rather than hiding them.
fn note_unreachable(session: &mut Session, clusters: &[String]) {
    const SHOWN: usize = 5;
    let Some(more) = clusters
        .len()
        .checked_sub(SHOWN)
        .or(Some(0))
        .filter(|_| !clusters.is_empty())
    else {
        return;
    };
    let mut names = clusters
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    let verb = if clusters.len() == 1 { "does" } else { "do" };
    session.output.note(&format!(
        "note: {names} {verb} not answer; what is shown of {} may be old",
        if clusters.len() == 1 { "it" } else { "them" }
    ));
}
