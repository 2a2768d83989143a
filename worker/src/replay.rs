//! `muster-worker replay`: would this binary do what a history says was done?

use crate::register;
use std::path::{Path, PathBuf};
use temporal::{
    Verdict,
    history::{Contents, from_json},
};

/// What came of replaying one file.
#[derive(Debug, Clone)]
pub struct Replayed {
    pub file: PathBuf,
    /// `None` when the file holds no history.
    pub contents: Option<Contents>,
    pub result: Result<Verdict, String>,
}

impl Replayed {
    /// The code of this binary does what the history says.
    pub fn same(&self) -> bool {
        matches!(self.result, Ok(Verdict::Same))
    }
}

impl std::fmt::Display for Replayed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        match &self.result {
            Ok(Verdict::Same) => write!(f, "same")?,
            Ok(Verdict::Diverges(message)) => write!(f, "diverges: {message}")?,
            Ok(Verdict::Unfit(message)) => write!(f, "cannot be replayed to its end: {message}")?,
            Err(cause) => write!(f, "cannot be replayed: {cause}")?,
        }
        let Some(contents) = &self.contents else {
            return Ok(());
        };
        write!(
            f,
            "\n  {} {}, {} events, last {}",
            contents.workflow_type, contents.workflow_id, contents.events, contents.last
        )?;
        if !contents.activities.is_empty() {
            let seen: Vec<String> = contents
                .activities
                .iter()
                .map(|(name, times)| format!("{name} × {times}"))
                .collect();
            write!(f, "\n  activities: {}", seen.join(", "))?;
        }
        Ok(())
    }
}

/// Replays one file, offline.
pub async fn replay(file: &Path) -> Replayed {
    let mut replayed = Replayed {
        file: file.to_owned(),
        contents: None,
        result: Ok(Verdict::Same),
    };
    let history = std::fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|bytes| from_json(&bytes).map_err(|error| error.to_string()));
    let history = match history {
        Ok(history) => history,
        Err(cause) => {
            replayed.result = Err(cause);
            return replayed;
        }
    };
    replayed.contents = Some(Contents::of(&history));
    replayed.result = temporal::replay(history, Box::new(register::replayed))
        .await
        .map_err(|error| error.to_string());
    replayed
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_no_history_is_no_agreement() {
        let absent = replay(Path::new("/no/such/history.json")).await;
        assert!(!absent.same());
        assert!(
            absent
                .to_string()
                .starts_with("/no/such/history.json: cannot be replayed")
        );
    }
}
