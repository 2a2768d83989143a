//! `muster`, the client for people and scripts: a thin layer over the gRPC API. It keeps nothing and
//! decides nothing about lifecycles; it reads files, asks the server, and shows what comes back.

pub mod args;
pub mod fault;
pub mod names;
pub mod output;
pub mod session;

mod apply;
mod cluster;
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
mod orphans;
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
use clap::{CommandFactory, Parser, error::ErrorKind};
use fault::{Exit, Fault};
use output::{Format, Output};
use session::Session;
use std::{ffi::OsString, io::Read};

/// A command line that is not run: it asks for help, or cannot be meant.
#[derive(Debug)]
pub struct NotRun {
    pub code: u8,
    pub text: String,
    /// Help and version, which were asked for.
    pub wanted: bool,
}

/// Reads the command line.
///
/// # Errors
/// What cannot be read, or asks for help, with what is to be said.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, NotRun> {
    let words: Vec<OsString> = words.into_iter().collect();
    Arguments::try_parse_from(&words).map_err(|error| {
        let code = u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code());
        let wanted = !error.use_stderr();
        if wanted || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            let text = error.render().ansi().to_string();
            return NotRun { code, text, wanted };
        }
        let fault = misuse(&error.render().to_string());
        let text = if wants_json(&words) {
            fault.json()
        } else {
            format!("error: {fault}")
        };
        NotRun { code, text, wanted }
    })
}

/// One sentence of clap's page: its first paragraph, and its tip if it has one.
fn misuse(page: &str) -> Fault {
    let mut paragraphs = page.split("\n\n").map(words::plain);
    let cause = paragraphs.next().unwrap_or_default();
    let tip = paragraphs.find_map(|text| text.trim().strip_prefix("tip: ").map(str::to_owned));
    let next = tip.map_or_else(String::new, |tip| format!("{tip}; "));
    Fault::usage(cause.trim_start_matches("error: "))
        .next(format!("{next}`muster --help` explains the flags"))
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
    run_on(arguments, output, Box::new(std::io::stdin())).await
}

/// … with `input` as its standard input.
pub async fn run_on(arguments: Arguments, output: Output, input: Box<dyn Read + Send>) -> u8 {
    let mut session = Session::new(arguments.global, output, input);
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
        Verb::Get(_) | Verb::Describe(_) | Verb::Status(_) | Verb::Events(_) | Verb::Cluster(_)
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
        Verb::Orphans(arguments) => orphans::run(session, &arguments.verb).await,
        Verb::Status(arguments) => status::run(session, arguments).await,
        Verb::Events(arguments) => events::run(session, arguments).await,
        Verb::Cluster(arguments) => cluster::run(session, arguments).await,
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
