//! Colours and symbols, which only a terminal gets.

use std::io::IsTerminal;

/// Colours of the sixteen every terminal has, so that its theme decides how they look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Grey = 90,
}

/// What a stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// Symbols before states; only people want them.
    pub symbols: bool,
}

impl Style {
    pub const PLAIN: Self = Self {
        colour: false,
        symbols: false,
    };

    /// For a stream that is a terminal, or is not.
    pub fn of(terminal: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: terminal && !set("NO_COLOR") && !dumb,
            symbols: terminal,
        }
    }

    pub fn paint(self, colour: Colour, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{}m{text}\u{1b}[0m", colour as u8)
        } else {
            text.to_owned()
        }
    }

    pub fn bold(self, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[1m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    /// A state's word in its colour.
    pub fn state(self, word: &str) -> String {
        self.paint(state_colour(word), word)
    }

    /// A state's symbol and a space, where symbols are wanted.
    pub fn symbol(self, word: &str) -> String {
        if self.symbols {
            format!("{} ", self.paint(state_colour(word), state_symbol(word)))
        } else {
            String::new()
        }
    }
}

fn state_colour(word: &str) -> Colour {
    match word {
        "Applied" | "Instantiated" | "Available" | "Approved" | "Ready" => Colour::Green,
        "Retrying" | "PreTerminate" | "NotReady" => Colour::Yellow,
        "Failed" | "InstantiateFailed" | "TerminateFailed" | "UpdateFailed" => Colour::Red,
        "Instantiating" | "Terminating" | "Updating" => Colour::Blue,
        _ => Colour::Grey,
    }
}

fn state_symbol(word: &str) -> &'static str {
    match state_colour(word) {
        Colour::Green => "✓",
        Colour::Yellow => "↻",
        Colour::Red => "✗",
        Colour::Blue => "…",
        Colour::Grey => match word {
            "Deleted" | "Terminated" => "−",
            _ => "·",
        },
    }
}

/// Which of the standard streams are terminals, and the width of the one on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terminals {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

impl Terminals {
    pub fn present() -> Self {
        Self {
            stdin: std::io::stdin().is_terminal(),
            stdout: std::io::stdout().is_terminal(),
            stderr: std::io::stderr().is_terminal(),
        }
    }
}
