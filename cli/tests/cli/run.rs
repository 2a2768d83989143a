//! Runs of the program, and what they wrote.

use crate::fake::{Script, serve};
use cli::{output::Output, style::Terminals};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

/// What a run wrote, and how it ended.
pub struct Ran {
    pub code: u8,
    pub out: String,
    pub err: String,
}

#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(data);
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `muster LINE` against a server, without any terminal.
pub async fn muster(server: &str, line: &str) -> Ran {
    let (out, err) = (Buffer::default(), Buffer::default());
    let words = format!("muster {line} --server {server}");
    let arguments = cli::parse(words.split_whitespace().map(Into::into)).expect("a command line");
    let output = Output::new(
        Box::new(out.clone()),
        Box::new(err.clone()),
        arguments.global.output,
        Terminals::default(),
    );
    let code = cli::run(arguments, output).await;
    Ran {
        code,
        out: out.text(),
        err: err.text(),
    }
}

pub async fn against(script: Script, line: &str) -> (Ran, Vec<String>) {
    let (address, fake) = serve(script).await;
    let ran = muster(&format!("http://{address}"), line).await;
    (ran, fake.heard())
}

/// The text with every number of seconds replaced, since machines differ in speed.
pub fn timeless(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    for index in 1..words.len() {
        if words[index].starts_with('s') && words[index - 1].parse::<f64>().is_ok() {
            words[index - 1] = "T";
        }
    }
    words.join(" ")
}
