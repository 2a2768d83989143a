//! `muster events`: the operation log of a DIG.

use crate::{
    args::Events,
    fault::Fault,
    json, kinds,
    names::{DigName, Kind},
    output::{Format, Output},
    session::Session,
    table::Table,
    time::rfc3339,
    words::plain,
};
use proto::v1::{Event, ListEventsRequest, ListEventsResponse};
use tonic::Streaming;

pub async fn run(session: &mut Session, arguments: &Events) -> Result<(), Fault> {
    let dig = session.dig(&arguments.dig)?;
    if session.output.format == Format::Name {
        return Err(Fault::usage(
            "events have no names: use -o table, wide, json or yaml",
        ));
    }
    let request = ListEventsRequest {
        project: dig.project,
        name: dig.name,
        after_seq: arguments.after.unwrap_or(0),
        limit: arguments.limit.unwrap_or(0),
        tail: arguments.tail.unwrap_or(0),
    };
    let mut stream = open(session, request).await?;
    if session.output.structured() {
        let mut events = Vec::new();
        while let Some(chunk) = message(session, &mut stream).await? {
            events.extend(chunk.events.into_iter().map(json::Event::from));
        }
        return session.output.value(&events);
    }
    let mut log = Log::new(&session.output);
    while let Some(chunk) = message(session, &mut stream).await? {
        session.output.lines(&log.lines(&chunk.events))?;
    }
    if log.empty {
        session.output.note("nothing has happened yet");
    }
    Ok(())
}

/// The last events of a DIG, in memory.
pub async fn tail(session: &mut Session, dig: &DigName, tail: i32) -> Result<Vec<Event>, Fault> {
    let request = ListEventsRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        tail,
        ..ListEventsRequest::default()
    };
    let mut stream = open(session, request).await?;
    let mut events = Vec::new();
    while let Some(chunk) = message(session, &mut stream).await? {
        events.extend(chunk.events);
    }
    Ok(events)
}

async fn open(
    session: &mut Session,
    request: ListEventsRequest,
) -> Result<Streaming<ListEventsResponse>, Fault> {
    let client = session.lifecycles().await?;
    session
        .call(&client, request, async |mut client, request| {
            client.list_events(request).await
        })
        .await
        .map_err(|fault| kinds::look_around(fault, session, Kind::Dig))
}

async fn message(
    session: &Session,
    stream: &mut Streaming<ListEventsResponse>,
) -> Result<Option<ListEventsResponse>, Fault> {
    let message = stream.message().await;
    message.map_err(|status| kinds::look_around(session.fault(status), session, Kind::Dig))
}

/// A table of events that grows; its widths come from the first lines.
pub struct Log {
    table: Table,
    wide: bool,
    width: Option<usize>,
    pub empty: bool,
}

impl Log {
    pub fn new(output: &Output) -> Self {
        let wide = output.format == Format::Wide;
        Self::with(wide, output.width().filter(|_| !wide))
    }

    fn with(wide: bool, width: Option<usize>) -> Self {
        let mut heads = vec!["TIME", "OBJECT", "CLUSTER", "CHANGE", "BY"];
        if wide {
            heads.extend(["SEQ", "APP", "EVENT", "REVISION", "CODE", "REQUEST"]);
        }
        heads.push("MESSAGE");
        Self {
            table: Table::new(&heads),
            wide,
            width,
            empty: true,
        }
    }

    /// The lines of more events, with the head before the first.
    pub fn lines(&mut self, events: &[Event]) -> Vec<String> {
        for event in events {
            let row = self.cells(event);
            self.table.row(row);
        }
        let first = self.empty && !events.is_empty();
        let rows = self.table.take(self.width);
        if !first {
            return rows;
        }
        self.empty = false;
        std::iter::once(self.table.head()).chain(rows).collect()
    }

    fn cells(&self, event: &Event) -> Vec<String> {
        let dash = |text: &str| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                plain(text)
            }
        };
        let note = match event.event.as_str() {
            "Waits" => Some("waits"),
            "Goes" => Some("goes on"),
            _ => None,
        };
        let object = match (event.object.as_str(), event.context_id.as_str()) {
            ("", _) if note.is_some() && !event.app.is_empty() => {
                format!("app {}", plain(&event.app))
            }
            ("", "") => "(dig)".to_owned(),
            ("", _) => "(context)".to_owned(),
            (object, _) => plain(object),
        };
        let from = if event.from.is_empty() {
            "[*]"
        } else {
            &event.from
        };
        let to = if event.to.is_empty() {
            "[*]"
        } else {
            &event.to
        };
        let change = match note {
            Some(note) => note.to_owned(),
            None if from == to => plain(to),
            None => format!("{} → {}", plain(from), plain(to)),
        };
        let mut message: Vec<String> = Vec::new();
        let attempt = event.attempt.filter(|attempt| *attempt > 1);
        message.extend(attempt.map(|attempt| format!("attempt {attempt}")));
        message
            .extend(Some(plain(&event.code)).filter(|code| {
                !self.wide && !["", "blocked", "heldBack"].contains(&code.as_str())
            }));
        message.extend(Some(plain(&event.message)).filter(|message| !message.is_empty()));
        let message = message.join(": ");
        let time = rfc3339(event.time.as_ref()).unwrap_or_else(|| "-".to_owned());
        let mut cells = vec![
            time,
            object,
            dash(&event.cluster),
            change,
            dash(&event.actor),
        ];
        if self.wide {
            cells.extend([
                event.seq.to_string(),
                dash(&event.app),
                dash(&event.event),
                event
                    .revision
                    .map_or_else(|| "-".to_owned(), |revision| revision.to_string()),
                dash(&event.code),
                dash(&event.request_id),
            ]);
        }
        cells.push(message);
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_from_left_to_right() {
        let time = Some(prost_types::Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        });
        let events = [
            Event {
                time,
                from: String::new(),
                to: "Created".to_owned(),
                actor: "ann".to_owned(),
                ..Event::default()
            },
            Event {
                time,
                context_id: "01C".to_owned(),
                object: "Deployment/shop/redis".to_owned(),
                cluster: "acme+a".to_owned(),
                from: "Pending".to_owned(),
                to: "Retrying".to_owned(),
                attempt: Some(2),
                code: "unreachable".to_owned(),
                message: "connect\ntimed out".to_owned(),
                ..Event::default()
            },
            Event {
                time,
                context_id: "01C".to_owned(),
                app: "front".to_owned(),
                event: "Waits".to_owned(),
                code: "blocked".to_owned(),
                message: "app back: not deployed yet".to_owned(),
                ..Event::default()
            },
        ];
        assert_eq!(
            Log::with(false, None).lines(&events).join("\n"),
            "TIME                       OBJECT                  CLUSTER   CHANGE               BY    MESSAGE
2023-11-14T22:13:20.000Z   (dig)                   -         [*] → Created        ann
2023-11-14T22:13:20.000Z   Deployment/shop/redis   acme+a    Pending → Retrying   -     attempt 2: unreachable: connect timed out
2023-11-14T22:13:20.000Z   app front               -         waits                -     app back: not deployed yet"
        );
    }
}
