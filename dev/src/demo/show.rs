//! What the demo prints: acts, live progress, proofs. Bars on a terminal, lines elsewhere.

use super::{
    client::{View, words},
    proof::Proof,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{
    io::{IsTerminal, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Between two lines of progress where there is no terminal.
const LINE_EVERY: Duration = Duration::from_millis(400);

#[derive(Clone)]
pub struct Show {
    inner: Arc<Inner>,
}

struct Inner {
    began: Instant,
    terminal: bool,
    bars: MultiProgress,
    acts: Mutex<usize>,
}

impl Show {
    pub fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self {
            inner: Arc::new(Inner {
                began: Instant::now(),
                terminal,
                bars: MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout()),
                acts: Mutex::new(0),
            }),
        }
    }

    fn line(&self, text: &str) {
        self.inner.bars.suspend(|| {
            // A reader that went away is no reason to stop.
            let _ = writeln!(std::io::stdout(), "{text}");
        });
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.inner.terminal {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub fn title(&self, text: &str) {
        self.line(&format!("\n{}", self.paint("1", text)));
    }

    /// The next act begins.
    pub fn act(&self, text: &str) {
        let number = {
            let mut acts = self
                .inner
                .acts
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *acts += 1;
            *acts
        };
        let at = format!("{:>5.1} s", self.inner.began.elapsed().as_secs_f32());
        let head = self.paint("1;36", &format!("{number}. {text}"));
        self.line(&format!("\n{head}  {}", self.paint("2", &at)));
    }

    /// A command a person would type.
    pub fn command(&self, text: &str) {
        self.line(&format!("   {} {text}", self.paint("2", "$")));
    }

    pub fn note(&self, text: &str) {
        for line in text.lines() {
            self.line(&format!("   {line}"));
        }
    }

    pub fn detail(&self, text: &str) {
        self.line(&format!("     {}", self.paint("2", text)));
    }

    pub fn failed(&self, text: &str) {
        self.line(&format!("\n{} {text}", self.paint("1;31", "failed:")));
    }

    /// Progress of a lifecycle, a bar per cluster.
    pub fn progress(&self, clusters: &[String]) -> Progress {
        let bars = if self.inner.terminal {
            let style =
                ProgressStyle::with_template("     {prefix:<12} {bar:30} {pos:>3}/{len:<3} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = |cluster: &String| {
                let bar = self
                    .inner
                    .bars
                    .add(ProgressBar::new(0).with_style(style.clone()));
                bar.set_prefix(cluster.clone());
                bar
            };
            clusters.iter().map(bar).collect()
        } else {
            Vec::new()
        };
        Progress {
            show: self.clone(),
            clusters: clusters.to_vec(),
            bars,
            last: None,
        }
    }

    /// The summary; true if all held.
    pub fn proofs(&self, proofs: &[Proof]) -> bool {
        self.title("What was proven");
        for proof in proofs {
            let mark = if proof.held {
                self.paint("1;32", "✓")
            } else {
                self.paint("1;31", "✗")
            };
            self.line(&format!("  {mark} {}", proof.text));
        }
        let failed = proofs.iter().filter(|proof| !proof.held).count();
        let seconds = self.inner.began.elapsed().as_secs_f32();
        let verdict = if failed == 0 {
            self.paint(
                "1;32",
                &format!("All {} held, in {seconds:.1} s.", proofs.len()),
            )
        } else {
            let text = format!(
                "{failed} of {} did not hold ({seconds:.1} s).",
                proofs.len()
            );
            self.paint("1;31", &text)
        };
        self.line(&format!("  {verdict}"));
        failed == 0
    }

    /// The last lines of the logs, for a run that failed.
    pub fn logs(&self, folder: &Path) {
        const LINES: usize = 15;
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let text = std::fs::read(entry.path()).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().collect();
            if lines.is_empty() {
                continue;
            }
            self.line(&format!("\nlast lines of {}:", entry.path().display()));
            for line in &lines[lines.len().saturating_sub(LINES)..] {
                self.line(&format!("  {line}"));
            }
        }
    }
}

/// Live progress of one lifecycle; the last picture stays.
pub struct Progress {
    show: Show,
    clusters: Vec<String>,
    bars: Vec<ProgressBar>,
    /// As it was shown.
    last: Option<(Instant, View)>,
}

impl Progress {
    pub fn update(&mut self, view: &View) {
        if let Some((at, last)) = &self.last {
            let same = last.state == view.state && last.clusters == view.clusters;
            let soon = at.elapsed() < LINE_EVERY && last.state == view.state;
            if same || (self.bars.is_empty() && soon) {
                return;
            }
        }
        self.last = Some((Instant::now(), view.clone()));
        if self.bars.is_empty() {
            let parts: Vec<String> = self
                .clusters
                .iter()
                .map(|cluster| format!("{cluster} {}", self.words(view, cluster)))
                .collect();
            self.show
                .detail(&format!("{:<13} {}", words(view.state), parts.join("   ")));
            return;
        }
        for (cluster, bar) in self.clusters.iter().zip(&self.bars) {
            let counts = view.on(cluster);
            bar.set_length(counts.total().unsigned_abs());
            let done = if deleting(view) {
                counts.deleted
            } else {
                counts.applied
            };
            bar.set_position(done.unsigned_abs());
            bar.set_message(format!("{} {}", words(view.state), trouble(view, cluster)));
        }
    }

    fn words(&self, view: &View, cluster: &str) -> String {
        let counts = view.on(cluster);
        let (done, what) = if deleting(view) {
            (counts.deleted, "deleted")
        } else {
            (counts.applied, "applied")
        };
        format!("{done}/{} {what}{}", counts.total(), trouble(view, cluster))
    }

    /// Shows the last picture, whatever was shown a moment ago, and leaves it on the screen.
    pub fn end(mut self, view: &View) {
        if self.last.as_ref().is_none_or(|(_, last)| last != view) {
            self.last = None;
            self.update(view);
        }
        for bar in &self.bars {
            bar.abandon();
        }
    }
}

fn deleting(view: &View) -> bool {
    use proto::v1::ContextState as S;
    matches!(
        view.state,
        S::PreTerminate | S::Terminating | S::Terminated | S::TerminateFailed
    )
}

fn trouble(view: &View, cluster: &str) -> String {
    let counts = view.on(cluster);
    let mut text = String::new();
    if counts.retrying > 0 {
        text.push_str(&format!(", {} Retrying", counts.retrying));
    }
    if counts.failed > 0 {
        text.push_str(&format!(", {} Failed", counts.failed));
    }
    text
}
