//! The AppContext (spec §1.2).

use super::{Refused, refused};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ContextState {
    Instantiating,
    Instantiated,
    InstantiateFailed,
    PreTerminate,
    Terminating,
    Terminated,
    TerminateFailed,
    Updating,
    UpdateFailed,
}

text_enum!(
    ContextState,
    "context state",
    [
        Instantiating,
        Instantiated,
        InstantiateFailed,
        PreTerminate,
        Terminating,
        Terminated,
        TerminateFailed,
        Updating,
        UpdateFailed,
    ]
);

impl ContextState {
    /// Nothing is left to be driven: no workflow needs to run.
    pub fn is_settled(self) -> bool {
        !matches!(
            self,
            Self::Instantiating | Self::PreTerminate | Self::Terminating | Self::Updating
        )
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ContextEvent {
    /// Instantiate was accepted.
    Instantiate,
    /// Every resource reached the goal of the running phase.
    Settled,
    /// The work settled and a resource is Failed.
    SettledFailed,
    Terminate,
    /// No older attempt can still leave a process (protocol §6).
    WindowClosed,
    Stop,
    Retry,
    Update,
    Rollback,
    Migrate,
}

text_enum!(
    ContextEvent,
    "context event",
    [
        Instantiate,
        Settled,
        SettledFailed,
        Terminate,
        WindowClosed,
        Stop,
        Retry,
        Update,
        Rollback,
        Migrate,
    ]
);

/// The state after `event`; `None` is `[*]`. A context is never deleted, so the answer is always
/// a state.
///
/// # Errors
/// Every pair that spec §1.2 does not list. A terminate of a context in PreTerminate or
/// Terminating is none of them: the DIG's machine answers it as already accepted.
pub fn next(
    state: Option<ContextState>,
    event: ContextEvent,
) -> Result<Option<ContextState>, Refused> {
    use ContextEvent as E;
    use ContextState as S;
    Ok(Some(match (state, event) {
        (None, E::Instantiate) => S::Instantiating,
        (Some(S::Instantiating), E::Settled) => S::Instantiated,
        (Some(S::Instantiating), E::SettledFailed | E::Stop) => S::InstantiateFailed,
        (Some(S::Instantiating), E::Terminate) => S::PreTerminate,
        (Some(S::PreTerminate), E::WindowClosed) => S::Terminating,
        (Some(S::Instantiated | S::InstantiateFailed | S::TerminateFailed), E::Terminate) => {
            S::Terminating
        }
        (Some(S::Terminating), E::Settled) => S::Terminated,
        (Some(S::Terminating), E::SettledFailed | E::Stop) => S::TerminateFailed,
        (Some(S::InstantiateFailed), E::Retry) => S::Instantiating,
        (Some(S::TerminateFailed), E::Retry) => S::Terminating,
        (
            Some(S::Instantiated | S::InstantiateFailed | S::UpdateFailed),
            E::Update | E::Rollback | E::Migrate,
        ) => S::Updating,
        (Some(S::Updating), E::Settled) => S::Instantiated,
        (Some(S::Updating), E::SettledFailed) => S::UpdateFailed,
        (Some(S::UpdateFailed), E::Retry) => S::Updating,
        (Some(S::Updating | S::UpdateFailed), E::Terminate) => S::PreTerminate,
        _ => return Err(refused("context", state, event)),
    }))
}
