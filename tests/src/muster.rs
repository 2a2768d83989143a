//! The program `muster`, run within this process.

use cli::{output::Output, style::Terminals};
use std::{
    ffi::OsString,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// What a run wrote, and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: u8,
    pub out: String,
    pub err: String,
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Buffer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `muster WORDS…` without a terminal, with `input` as its standard input.
pub async fn muster(words: &[String], input: Vec<u8>) -> Ran {
    let line = std::iter::once("muster").chain(words.iter().map(String::as_str));
    let arguments = match cli::parse(line.map(OsString::from)) {
        Ok(arguments) => arguments,
        Err(not_run) => {
            return Ran {
                code: not_run.code,
                out: String::new(),
                err: not_run.text,
            };
        }
    };
    let (out, err) = (Buffer::default(), Buffer::default());
    let output = Output::new(
        Box::new(out.clone()),
        Box::new(err.clone()),
        arguments.global.output,
        Terminals::default(),
    );
    let code = cli::run_on(arguments, output, Box::new(io::Cursor::new(input))).await;
    Ran {
        code,
        out: out.text(),
        err: err.text(),
    }
}
