//! `muster status`: one look at a lifecycle.

use crate::{
    args::Status,
    fault::{Exit, Fault},
    json, kinds,
    names::{DigName, Kind},
    output::Format,
    session::Session,
    tree::{self, Tree},
    watch,
    words::{self, plain},
};
use jiff::Timestamp;
use proto::v1::{
    GetStatusRequest, GetStatusResponse, ResourceState, StatusFilter, StatusHead, StatusView,
    get_status_response::Part,
};
use tonic::Streaming;

pub async fn run(session: &mut Session, arguments: &Status) -> Result<(), Fault> {
    let dig = session.dig(&arguments.dig)?;
    let filter = filter(arguments);
    let view = if arguments.summary {
        StatusView::Summary
    } else {
        StatusView::Full
    };
    if arguments.watch {
        return watch::run(session, &dig, filter, view).await;
    }
    let filtered = filter != StatusFilter::default();
    let (head, stream) = open(session, &dig, filter, view).await?;
    if session.output.structured() {
        return structured(session, head, stream).await;
    }
    if session.output.format == Format::Name {
        return names(session, stream).await;
    }
    let style = session.output.style;
    let now = Timestamp::now();
    let wide = session.output.format == Format::Wide;
    session.output.lines(&tree::opening(&head, now, style))?;
    if !head.problems.is_empty() {
        session.output.line("")?;
        session.output.line(&style.bold("PROBLEMS"))?;
        session.output.lines(&tree::problems(&head, now, style))?;
    }
    if arguments.summary {
        return Ok(());
    }
    let mut tree = Tree::new(&head, wide, now, style);
    let mut any = false;
    let mut stream = stream;
    while let Some(part) = message(session, &mut stream).await? {
        let Some(Part::Resources(chunk)) = part.part else {
            continue;
        };
        for resource in &chunk.resources {
            any = true;
            session.output.lines(&tree.lines(resource))?;
        }
    }
    if filtered && !any {
        session.output.note("no resource is like that");
    }
    Ok(())
}

/// The head of a status alone.
pub async fn head(
    session: &mut Session,
    dig: &DigName,
    view: StatusView,
) -> Result<StatusHead, Fault> {
    Ok(open(session, dig, StatusFilter::default(), view).await?.0)
}

fn filter(arguments: &Status) -> StatusFilter {
    let state = match arguments.state.as_deref().map(str::to_lowercase).as_deref() {
        Some("pending") => ResourceState::Pending,
        Some("applied") => ResourceState::Applied,
        Some("retrying") => ResourceState::Retrying,
        Some("failed") => ResourceState::Failed,
        Some("deleted") => ResourceState::Deleted,
        _ => ResourceState::Unspecified,
    };
    StatusFilter {
        app: arguments.app.clone().unwrap_or_default(),
        cluster: arguments.cluster.clone().unwrap_or_default(),
        resource: arguments.resource.clone().unwrap_or_default(),
        state: state.into(),
        ready_status: arguments
            .state
            .clone()
            .filter(|_| state == ResourceState::Unspecified)
            .unwrap_or_default(),
    }
}

/// Begins the stream and takes its head.
async fn open(
    session: &mut Session,
    dig: &DigName,
    filter: StatusFilter,
    view: StatusView,
) -> Result<(StatusHead, Streaming<GetStatusResponse>), Fault> {
    let client = session.lifecycles().await?;
    let request = GetStatusRequest {
        project: dig.project.clone(),
        name: dig.name.clone(),
        filter: Some(filter),
        view: view.into(),
    };
    let mut stream = session
        .call(&client, request, async |mut client, request| {
            client.get_status(request).await
        })
        .await
        .map_err(|fault| kinds::look_around(fault, session, Kind::Dig))?;
    let first = message(session, &mut stream)
        .await
        .map_err(|fault| kinds::look_around(fault, session, Kind::Dig))?;
    match first.and_then(|first| first.part) {
        Some(Part::Head(head)) => Ok((head, stream)),
        _ => Err(Fault::new(
            Exit::Failed,
            "INTERNAL",
            format!("the server sent a status of {dig} without a head"),
        )),
    }
}

async fn message(
    session: &Session,
    stream: &mut Streaming<GetStatusResponse>,
) -> Result<Option<GetStatusResponse>, Fault> {
    stream
        .message()
        .await
        .map_err(|status| session.fault(status))
}

async fn structured(
    session: &mut Session,
    head: StatusHead,
    mut stream: Streaming<GetStatusResponse>,
) -> Result<(), Fault> {
    let mut status = json::Status::from(head);
    let mut place = (0, 0);
    while let Some(part) = message(session, &mut stream).await? {
        if let Some(Part::Resources(chunk)) = part.part {
            chunk
                .resources
                .into_iter()
                .for_each(|resource| status.add(resource, &mut place));
        }
    }
    session.output.value(&status)
}

/// `acme+edge-1/Deployment/shop/redis`, one per line.
async fn names(
    session: &mut Session,
    mut stream: Streaming<GetStatusResponse>,
) -> Result<(), Fault> {
    while let Some(part) = message(session, &mut stream).await? {
        let Some(Part::Resources(chunk)) = part.part else {
            continue;
        };
        for r in &chunk.resources {
            let parts = [r.cluster.as_str(), &r.kind, &r.namespace, &r.name];
            let parts: Vec<String> = parts
                .into_iter()
                .filter_map(words::some)
                .map(plain)
                .collect();
            session.output.line(&parts.join("/"))?;
        }
    }
    Ok(())
}
