//! The binary `muster`.

use std::{io::Write, process::ExitCode};

fn main() -> ExitCode {
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(not_run) => {
            // Help that nobody reads is no failure.
            let _ = if not_run.wanted {
                write!(std::io::stdout(), "{}", not_run.text)
            } else {
                writeln!(std::io::stderr(), "{}", not_run.text.trim_end())
            };
            return ExitCode::from(not_run.code);
        }
    };
    let mut output = cli::output::Output::standard(arguments.global.output);
    match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => ExitCode::from(runtime.block_on(cli::run(arguments, output))),
        Err(error) => {
            output.note(&format!("error: cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}
