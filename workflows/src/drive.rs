//! What a driver is: pure data that says what to do next and takes what became of it.
//!
//! The loop that performs actions is [`crate::perform`]; nothing here knows Temporal, so that the
//! order of work is tested without a server.

pub mod bundles;
pub mod gates;
pub mod lanes;
pub mod readiness;

use crate::contract::{NoteTarget, Reachable, Ready, SliceOutcome, StepOutcome};
use model::{
    ids::{ClusterId, RowId},
    plan::Slice,
};

/// The two steps a row goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Find what exists (before an apply).
    Look,
    /// Apply or delete, by the goal of the drive.
    Send,
}

/// One thing to be performed. Whatever it is, [`Driver::done`] is called when it ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A local activity on some rows of one cluster.
    Step {
        act: Act,
        cluster: ClusterId,
        rows: Vec<RowId>,
    },
    /// The same as a regular activity with the retry policy, after a transient answer.
    Promoted {
        act: Act,
        cluster: ClusterId,
        rows: Vec<RowId>,
    },
    /// Wait until accepted deletes are gone.
    Gone {
        cluster: ClusterId,
        rows: Vec<RowId>,
    },
    /// Wait for a parked cluster on behalf of an app.
    Reachable { cluster: ClusterId, app: String },
    /// Wait until an app, or the whole context, is ready.
    Ready { app: Option<String> },
    /// A timer.
    Pause { ms: u64 },
    /// Record what something waits for.
    Note {
        target: NoteTarget,
        blocked_by: Option<String>,
    },
    /// A child workflow for a slice.
    Slice(Slice),
}

/// What became of an action.
#[derive(Debug, Clone)]
pub enum Done {
    Step(StepOutcome),
    Reachable(Reachable),
    Ready(Ready),
    Slice(SliceOutcome),
    /// A timer fired, a note was written.
    Fired,
    /// The activity ended without an outcome (cancelled, or its answer could not be read).
    Lost,
}

/// Number of an action in flight.
pub type Flight = u64;

pub trait Driver {
    /// The next action to start now, if any.
    fn next(&mut self) -> Option<(Flight, Action)>;
    fn done(&mut self, flight: Flight, done: Done);
    /// Start nothing more; what is in flight still ends.
    fn stop(&mut self);
    fn stopping(&self) -> bool;
    /// Nothing in flight that matters and nothing more to start.
    fn finished(&self) -> bool;
    /// A row failed for good, now or earlier.
    fn failed(&self) -> bool;
}
