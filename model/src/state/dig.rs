//! The Deployment Intent Group (spec §1.1).

use super::{ContextEvent, ContextState, Refused, context, refused};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DigState {
    Created,
    Approved,
    Instantiated,
    Terminated,
    InstantiateStopped,
    TerminateStopped,
}

text_enum!(
    DigState,
    "DIG state",
    [
        Created,
        Approved,
        Instantiated,
        Terminated,
        InstantiateStopped,
        TerminateStopped,
    ]
);

/// The verbs, and `Modify` for any change of intents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DigEvent {
    Create,
    Modify,
    Approve,
    Instantiate,
    Terminate,
    Stop,
    Retry,
    Update,
    Rollback,
    Migrate,
    Delete,
}

text_enum!(
    DigEvent,
    "verb",
    [
        Create,
        Modify,
        Approve,
        Instantiate,
        Terminate,
        Stop,
        Retry,
        Update,
        Rollback,
        Migrate,
        Delete,
    ]
);

/// Events that this release drives. The others stand in the machine only; no answer offers them.
pub const BUILT_VERBS: &[DigEvent] = &[
    DigEvent::Create,
    DigEvent::Modify,
    DigEvent::Approve,
    DigEvent::Instantiate,
    DigEvent::Terminate,
    DigEvent::Stop,
    DigEvent::Retry,
    DigEvent::Delete,
];

impl DigEvent {
    /// The verb as users type it, for example `instantiate`.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Modify => "modify",
            Self::Approve => "approve",
            Self::Instantiate => "instantiate",
            Self::Terminate => "terminate",
            Self::Stop => "stop",
            Self::Retry => "retry",
            Self::Update => "update",
            Self::Rollback => "rollback",
            Self::Migrate => "migrate",
            Self::Delete => "delete",
        }
    }

    /// What the verb means to the context, if it is the context's to follow.
    pub fn context_event(self) -> Option<ContextEvent> {
        match self {
            Self::Terminate => Some(ContextEvent::Terminate),
            Self::Stop => Some(ContextEvent::Stop),
            Self::Retry => Some(ContextEvent::Retry),
            Self::Update => Some(ContextEvent::Update),
            Self::Rollback => Some(ContextEvent::Rollback),
            Self::Migrate => Some(ContextEvent::Migrate),
            Self::Create | Self::Modify | Self::Approve | Self::Instantiate | Self::Delete => None,
        }
    }
}

/// The state after `event`; `None` is `[*]`. `context` is the state of the DIG's latest context.
///
/// # Errors
/// Every combination that spec §1.1 does not list.
pub fn next(
    state: Option<DigState>,
    context: Option<ContextState>,
    event: DigEvent,
) -> Result<Option<DigState>, Refused> {
    use ContextState as C;
    use DigEvent as E;
    use DigState as S;
    // Only a context in Terminated is final; any other one still has a driver that needs the DIG.
    let ended = matches!(context, None | Some(C::Terminated));
    Ok(Some(match (state, event) {
        (None, E::Create) => S::Created,
        (Some(S::Created | S::Approved), E::Modify) => S::Created,
        (Some(S::Terminated), E::Modify) if context == Some(C::Terminated) => S::Created,
        (Some(S::Created | S::Approved), E::Approve) => S::Approved,
        (Some(S::Approved | S::Terminated), E::Instantiate) if ended => S::Instantiated,
        (Some(S::Instantiated | S::InstantiateStopped), E::Terminate) => S::Terminated,
        (Some(S::Instantiated), E::Stop) if context == Some(C::Instantiating) => {
            S::InstantiateStopped
        }
        (Some(S::Terminated), E::Stop) if context == Some(C::Terminating) => S::TerminateStopped,
        (Some(S::Instantiated), E::Retry) if context == Some(C::InstantiateFailed) => {
            S::Instantiated
        }
        (Some(S::InstantiateStopped), E::Retry) => S::Instantiated,
        (Some(S::Terminated), E::Retry | E::Terminate) if context == Some(C::TerminateFailed) => {
            S::Terminated
        }
        (Some(S::TerminateStopped), E::Retry | E::Terminate) => S::Terminated,
        (Some(S::Terminated), E::Terminate)
            if matches!(context, Some(C::PreTerminate | C::Terminating)) =>
        {
            S::Terminated
        }
        (Some(unchanged @ (S::Instantiated | S::InstantiateStopped)), E::Modify) => unchanged,
        (Some(S::Instantiated | S::InstantiateStopped), E::Update | E::Rollback | E::Migrate) => {
            S::Instantiated
        }
        (Some(S::Created | S::Approved | S::Terminated), E::Delete) if ended => return Ok(None),
        _ => return Err(refused("DIG", state, event.verb())),
    }))
}

/// A terminate that was accepted before: it succeeds and has no second effect.
pub fn terminate_is_repeat(state: DigState, context: Option<ContextState>) -> bool {
    state == DigState::Terminated
        && matches!(
            context,
            Some(ContextState::PreTerminate | ContextState::Terminating)
        )
}

/// The verbs that would be accepted now, in alphabetical order: those of [`BUILT_VERBS`] that the
/// machines of the DIG and of its context both take. `Create` and `Modify` are no verbs of
/// their own (`apply` fires them) and left out.
pub fn allowed_verbs(state: DigState, context: Option<ContextState>) -> Vec<DigEvent> {
    let follows = |event: DigEvent| match (context, event.context_event()) {
        (Some(_), Some(_))
            if event == DigEvent::Terminate && terminate_is_repeat(state, context) =>
        {
            true
        }
        (Some(context), Some(event)) => context::next(Some(context), event).is_ok(),
        _ => true,
    };
    let mut verbs: Vec<_> = BUILT_VERBS
        .iter()
        .copied()
        .filter(|event| !matches!(event, DigEvent::Create | DigEvent::Modify))
        .filter(|event| next(Some(state), context, *event).is_ok() && follows(*event))
        .collect();
    verbs.sort_by_key(|event| event.verb());
    verbs
}
