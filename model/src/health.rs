//! Folds of rows into what their context is told (spec §1.2, §2.7).

mod held_back;

pub use held_back::{HeldBack, Trouble};

use crate::{
    row::Row,
    state::{ContextEvent, Goal, ResourceState},
};

/// Rows of one context by what they mean for its goal. Made from rows here, or by SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// In the target: Applied, or Deleted.
    pub reached: u64,
    pub failed: u64,
    /// Neither, but nothing more can be done for them in this run: Pending behind a Failed row of
    /// their bundle, of a shared row of their cluster, or of an app they depend on.
    pub held_back: u64,
    /// Neither: still to be driven. Retrying is always among these.
    pub open: u64,
}

impl Counts {
    /// Counts rows; `held_back` says which of the waiting ones cannot be driven any more.
    pub fn of<'a>(
        rows: impl IntoIterator<Item = &'a Row>,
        goal: Goal,
        held_back: impl Fn(&Row) -> bool,
    ) -> Self {
        let mut counts = Self::default();
        for row in rows {
            counts.add(row.state, goal, || held_back(row));
        }
        counts
    }

    /// Counts one row.
    pub fn add(&mut self, state: ResourceState, goal: Goal, held_back: impl FnOnce() -> bool) {
        match state {
            state if state.is_target(goal) => self.reached += 1,
            ResourceState::Failed(of) if of == goal => self.failed += 1,
            ResourceState::Pending(of) if of == goal && held_back() => self.held_back += 1,
            _ => self.open += 1,
        }
    }
}

/// What the rows mean for the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fold {
    Settled,
    SettledFailed,
    Unfinished,
}

impl Fold {
    /// The event to fire, if any.
    pub fn event(self) -> Option<ContextEvent> {
        match self {
            Self::Settled => Some(ContextEvent::Settled),
            Self::SettledFailed => Some(ContextEvent::SettledFailed),
            Self::Unfinished => None,
        }
    }
}

/// Where the waiting for readiness stands, once every row is in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Everything is ready, or nobody asked.
    Over,
    Unready,
    /// Not ready, and the policy's patience is at an end. The rows stay Applied: they are.
    Expired,
}

/// Everything in the target, and ready where that is asked ⇒ Settled; no work left and a row Failed,
/// or not ready in time ⇒ SettledFailed.
pub fn fold(counts: Counts, wait: Wait) -> Fold {
    match counts {
        Counts {
            open: 0,
            failed: 0,
            held_back: 0,
            ..
        } => match wait {
            Wait::Over => Fold::Settled,
            Wait::Unready => Fold::Unfinished,
            Wait::Expired => Fold::SettledFailed,
        },
        Counts {
            open: 0,
            failed: 1..,
            ..
        } => Fold::SettledFailed,
        // Held back by nothing that failed cannot be: drive again rather than call it settled.
        _ => Fold::Unfinished,
    }
}

#[cfg(test)]
#[path = "health/tests.rs"]
mod tests;
