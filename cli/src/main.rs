//! The binary `muster`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match cli::parse(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(code) => return ExitCode::from(code),
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
