//! `muster`, the client for people and scripts: a thin layer over the gRPC API. It keeps nothing and
//! decides nothing about lifecycles; it reads files, asks the server, and shows what comes back.

pub mod args;
pub mod fault;
pub mod names;
pub mod output;
pub mod session;

mod apply;
mod delete;
mod describe;
mod documents;
mod events;
mod feed;
mod files;
mod frame;
mod get;
mod json;
mod kinds;
mod kubeconfig;
mod progress;
mod references;
mod screen;
mod sentence;
mod status;
pub mod style;
mod table;
mod thing;
mod time;
mod tree;
mod verbs;
mod wait;
mod watch;
mod words;

use args::{Arguments, Verb};
use clap::{CommandFactory, Parser};
use fault::{Exit, Fault};
use output::{Format, Output};
use session::Session;
use std::ffi::OsString;

/// Reads the command line; what cannot be read, or asks for help, is answered here.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, u8> {
    let words: Vec<OsString> = words.into_iter().collect();
    Arguments::try_parse_from(&words).map_err(|error| {
        if error.use_stderr() && wants_json(&words) {
            let message = error.render().to_string();
            let cause = message.split("\n\n").next().unwrap_or_default();
            let line = words::plain(cause);
            let fault = Fault::usage(line.trim_start_matches("error: "))
                .next("`muster --help` explains the flags");
            Output::standard(Format::Json).note(&fault.json());
        } else {
            // Help that nobody reads is no failure.
            let _ = error.print();
        }
        u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code())
    })
}

/// Whether `-o json` stands on a command line that cannot be parsed.
fn wants_json(words: &[OsString]) -> bool {
    let mut before = None;
    words.iter().any(|word| {
        let value = before.is_some_and(|flag: &OsString| flag == "-o" || flag == "--output")
            && word == "json";
        before = Some(word);
        value || word == "-ojson" || word == "-o=json" || word == "--output=json"
    })
}

/// Runs one command to its end, telling the user of failures; the result is the exit code.
pub async fn run(arguments: Arguments, output: Output) -> u8 {
    let mut session = Session::new(arguments.global, output);
    let outcome = within(&mut session, &arguments.verb).await;
    // What was said before a failure is still worth reading.
    let flushed = session.output.flush();
    match outcome.and(flushed) {
        Ok(()) => Exit::Done.code(),
        Err(fault) => {
            if !matches!(fault, Fault::ClosedPipe) {
                let text = match session.output.format {
                    Format::Json => fault.json(),
                    _ => format!("error: {fault}"),
                };
                session.output.note(&text);
            }
            fault.exit().code()
        }
    }
}

/// The command within `--timeout`. A wait keeps its time itself, since it knows what it waits for.
async fn within(session: &mut Session, verb: &Verb) -> Result<(), Fault> {
    let waits = session.global.wait
        && matches!(
            verb,
            Verb::Instantiate(_) | Verb::Terminate(_) | Verb::Retry(_)
        );
    match session.deadline().filter(|_| !waits) {
        None => execute(session, verb).await,
        Some(deadline) => {
            let limit = time::duration(session.global.timeout.unwrap_or_default());
            tokio::time::timeout_at(deadline, execute(session, verb))
                .await
                .unwrap_or_else(|_| {
                    Err(Fault::timed_out(format!(
                        "the command was not done within {limit}"
                    )))
                })
        }
    }
}

async fn execute(session: &mut Session, verb: &Verb) -> Result<(), Fault> {
    let reads = matches!(
        verb,
        Verb::Get(_) | Verb::Describe(_) | Verb::Status(_) | Verb::Events(_)
    );
    if session.global.wait && reads {
        return Err(Fault::usage(
            "--wait goes with instantiate, terminate and retry; `muster status DIG --watch` follows a lifecycle",
        ));
    }
    match verb {
        Verb::Apply(arguments) => apply::run(session, arguments).await,
        Verb::Get(arguments) => get::run(session, arguments).await,
        Verb::Describe(arguments) => describe::run(session, arguments).await,
        Verb::Delete(arguments) => delete::run(session, arguments).await,
        Verb::Approve(arguments) => verbs::approve(session, arguments).await,
        Verb::Instantiate(arguments) => verbs::instantiate(session, arguments).await,
        Verb::Terminate(arguments) => verbs::terminate(session, arguments).await,
        Verb::Stop(arguments) => verbs::stop(session, arguments).await,
        Verb::Retry(arguments) => verbs::retry(session, arguments).await,
        Verb::Status(arguments) => status::run(session, arguments).await,
        Verb::Events(arguments) => events::run(session, arguments).await,
        Verb::Completion(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(
                arguments.shell,
                &mut Arguments::command(),
                "muster",
                &mut script,
            );
            session
                .output
                .line(String::from_utf8_lossy(&script).trim_end())
        }
    }
}
