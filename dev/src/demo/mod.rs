//! `muster-dev demo`: a real application through its whole life, and what that proves.

mod application;
mod client;
mod logs;
mod objects;
mod proof;
mod scenario;
mod show;

use crate::{
    args::{Demo, Up},
    inner,
    stack::{Say, Stack},
};
use anyhow::Context;
use application::Application;
use show::Show;
use std::{process::ExitCode, sync::Arc};

const CLUSTERS: usize = 3;

/// Plays it. Exit code 1 when anything did not hold.
pub async fn run(arguments: Demo) -> anyhow::Result<ExitCode> {
    let show = Show::new();
    show.title("Muster: one application, three clusters, two lives");
    let folder = tempfile::Builder::new()
        .prefix("muster-demo-")
        .tempdir()
        .context("make a folder for the demo")?;
    let application = Application::prepare(arguments.manifests.as_deref(), folder.path())?;

    show.act("Start Temporal, the store, api, worker and three sandbox clusters");
    let told = show.clone();
    let say: Say = Arc::new(move |text: &str| told.note(text));
    let up = Up {
        clusters: Some(CLUSTERS),
        data_dir: Some(folder.path().join("data")),
        temporal: "auto".to_owned(),
        ..Up::default()
    };
    let mut stops = inner::Stops::listen()?;
    let mut stack = tokio::select! {
        stack = Stack::up(up, Arc::clone(&say)) => stack?,
        () = stops.next() => return Ok(ExitCode::FAILURE),
    };
    for line in stack.endpoints().lines() {
        show.detail(&line);
    }

    let played = tokio::select! {
        played = scenario::play(stack.endpoints(), &application, &show) => played,
        () = stops.next() => {
            stack.down(&say, stops.next()).await;
            return Ok(ExitCode::FAILURE);
        }
    };
    let held = match played {
        Ok(proofs) => show.proofs(&proofs),
        Err(error) => {
            show.failed(&format!("{error:#}"));
            false
        }
    };
    if !arguments.once {
        show.title("The stack stays up; Ctrl-C stops it and removes its data");
        for line in stack.endpoints().lines() {
            show.detail(&line);
        }
        stack.stay(&say, stops.next()).await;
    } else if !held {
        show.logs(&stack.endpoints().data_dir.join("log"));
    }
    stack.down(&say, stops.next()).await;
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
