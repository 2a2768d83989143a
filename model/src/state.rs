//! The state machines of `spec/deployment-lifecycle.md` §1, each one plain `match`.
//!
//! Everything else about them (allowed verbs, the diagrams and tables in `docs/`, the exhaustive
//! tests) is enumerated from the `next` functions; no state is ever assigned.

/// Gives a fieldless enum its list, its text and the way back.
macro_rules! text_enum {
    ($type:ident, $what:literal, [$($variant:ident),* $(,)?]) => {
        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name as the store writes it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),* }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::state::UnknownName;
            /// Case does not matter.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|value| value.as_str().eq_ignore_ascii_case(text))
                    .ok_or_else(|| $crate::state::UnknownName { what: $what, text: text.to_owned() })
            }
        }
    };
}

pub(crate) use text_enum;

pub mod context;
pub mod dig;
pub mod resource;

pub use context::{ContextEvent, ContextState};
pub use dig::{BUILT_VERBS, DigEvent, DigState, allowed_verbs};
pub use resource::{Goal, ResourceEvent, ResourceState};

/// A machine has no such row; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{machine} is {state}: {event} is not possible")]
pub struct Refused {
    pub machine: &'static str,
    /// The state as text, `[*]` for none.
    pub state: String,
    pub event: String,
}

/// Text that names no value of an enum.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}")]
pub struct UnknownName {
    pub what: &'static str,
    pub text: String,
}

/// A state's text, `[*]` for none.
pub fn state_text<S: std::fmt::Display>(state: Option<S>) -> String {
    state.map_or_else(|| "[*]".to_owned(), |state| state.to_string())
}

fn refused<S: std::fmt::Display, E: std::fmt::Display>(
    machine: &'static str,
    state: Option<S>,
    event: E,
) -> Refused {
    Refused {
        machine,
        state: state_text(state),
        event: event.to_string(),
    }
}

#[cfg(test)]
#[path = "state/tests.rs"]
mod tests;
