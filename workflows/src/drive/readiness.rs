//! Waits for the readiness of a whole context: one question, asked again until it is answered.

use super::{Action, Done, Driver, Flight};
use crate::contract::Ready;

#[derive(Debug, Default)]
pub struct Readiness {
    asked: bool,
    answered: bool,
    stopping: bool,
}

impl Driver for Readiness {
    fn next(&mut self) -> Option<(Flight, Action)> {
        if self.asked || self.answered || self.stopping {
            return None;
        }
        self.asked = true;
        Some((1, Action::Ready { app: None }))
    }

    fn done(&mut self, _: Flight, done: Done) {
        self.asked = false;
        match done {
            Done::Ready(Ready::Superseded) => self.stopping = true,
            Done::Ready(Ready::Yes | Ready::Expired) => self.answered = true,
            _ => {}
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn stopping(&self) -> bool {
        self.stopping
    }

    fn finished(&self) -> bool {
        !self.asked && (self.answered || self.stopping)
    }

    /// What is not ready is for settle to say.
    fn failed(&self) -> bool {
        false
    }
}
