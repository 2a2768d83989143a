//! `muster-dev`: the embedded stack, the demo, the fault switch.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "endpoints and proofs are what this program says"
)]

use clap::Parser;
use dev::{
    args::{Arguments, Command, Up, without_dashes},
    demo, faults, inner,
    stack::{Say, Stack},
};
use std::{process::ExitCode, sync::Arc};

/// Half the work is short-lived text: the system's allocator takes a sixth of all time for it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse_from(without_dashes(std::env::args_os()));
    let result = match arguments.command {
        Command::Up(up) => stay_up(up).await,
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::Sandbox(command) => faults::run(command).await.map(|text| {
            println!("{text}");
            ExitCode::SUCCESS
        }),
        Command::Api(child) => inner::api(child).await.map(|()| ExitCode::SUCCESS),
        Command::Worker(child) => inner::worker(child).await.map(|()| ExitCode::SUCCESS),
        Command::Clusters(child) => inner::clusters(child).await.map(|()| ExitCode::SUCCESS),
        Command::Tether(child) => match inner::tether(child) {
            Ok(never) => match never {},
            Err(error) => Err(error),
        },
        Command::Muster { arguments } => Ok(inner::muster(arguments).await),
    };
    result.unwrap_or_else(|error| {
        eprintln!("muster-dev: {error:#}");
        ExitCode::FAILURE
    })
}

async fn stay_up(up: Up) -> anyhow::Result<ExitCode> {
    let say: Say = Arc::new(|text: &str| println!("{text}"));
    let mut stops = inner::Stops::listen()?;
    let mut stack = tokio::select! {
        stack = Stack::up(up, Arc::clone(&say)) => stack?,
        () = stops.next() => return Ok(ExitCode::SUCCESS),
    };
    for line in stack.endpoints().lines() {
        say(&line);
    }
    say("ready; Ctrl-C stops it");
    stack.stay(&say, stops.next()).await;
    say("stopping");
    stack.down(&say, stops.next()).await;
    Ok(ExitCode::SUCCESS)
}
