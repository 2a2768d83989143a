//! What can be wrong with a cluster: the kinds of fault and the filter that picks the requests they hit.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::request::{Asked, Verb};

/// One kind of trouble. The names are the ones people type, see `docs/sandbox.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum FaultKind {
    /// Connections are accepted and nothing is ever answered. Healing drops what is stuck.
    BlackHole,
    /// The connection is reset (TCP RST) instead of an answer; the cluster never sees the request.
    Reset,
    /// The request waits this long on its way; a client that leaves takes it along.
    Latency {
        /// Milliseconds.
        ms: u64,
    },
    /// The request reaches the cluster this much later, even if the client left in the meantime.
    Late {
        /// Milliseconds.
        ms: u64,
    },
    /// The cluster never sees the request; the client gets this code with a Kubernetes `Status`.
    Status {
        /// An HTTP status, 400 to 599.
        code: u16,
    },
    /// The cluster executes the request, then the connection is closed without the answer.
    DropReply,
    /// Objects that are written or about to be deleted get a finalizer nobody serves until healed.
    HangFinalizer,
}

impl FaultKind {
    /// Reads a kind and its argument as typed: `latency 20`, `status 503`, `black-hole`.
    ///
    /// # Errors
    /// Says which kinds exist, or what the kind's argument must be.
    pub fn from_words(kind: &str, args: &[&str]) -> Result<Self, FaultError> {
        let number = |what: &'static str| -> Result<u64, FaultError> {
            let wrong = || FaultError::Argument {
                kind: kind.to_owned(),
                what,
            };
            match args {
                [one] => one.parse().map_err(|_| wrong()),
                _ => Err(wrong()),
            }
        };
        let plain = |fault: Self| {
            if args.is_empty() {
                Ok(fault)
            } else {
                Err(FaultError::Argument {
                    kind: kind.to_owned(),
                    what: "no argument",
                })
            }
        };
        let fault = match kind {
            "black-hole" => plain(Self::BlackHole)?,
            "reset" => plain(Self::Reset)?,
            "latency" => Self::Latency {
                ms: number("one number of milliseconds")?,
            },
            "late" => Self::Late {
                ms: number("one number of milliseconds")?,
            },
            "status" => Self::Status {
                code: u16::try_from(number("one HTTP status from 400 to 599")?).unwrap_or(0),
            },
            "drop-reply" => plain(Self::DropReply)?,
            "hang-finalizer" => plain(Self::HangFinalizer)?,
            other => return Err(FaultError::UnknownKind(other.to_owned())),
        };
        fault.check()?;
        Ok(fault)
    }

    fn check(self) -> Result<(), FaultError> {
        match self {
            Self::Status { code } if !(400..=599).contains(&code) => Err(FaultError::Argument {
                kind: "status".to_owned(),
                what: "one HTTP status from 400 to 599",
            }),
            _ => Ok(()),
        }
    }

    /// The added delay of a latency fault.
    pub(crate) fn latency(self) -> Option<Duration> {
        match self {
            Self::Latency { ms } => Some(Duration::from_millis(ms)),
            _ => None,
        }
    }

    /// The delay of a late fault.
    pub(crate) fn late(self) -> Option<Duration> {
        match self {
            Self::Late { ms } => Some(Duration::from_millis(ms)),
            _ => None,
        }
    }

    /// Whether the fault is about the line rather than about an answer, so that it covers `GET /version` too.
    fn is_of_the_line(self) -> bool {
        matches!(self, Self::BlackHole | Self::Reset | Self::Latency { .. })
    }
}

/// Which requests a fault hits; empty means all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Only requests with this verb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
    /// Only requests about this kind (`ConfigMap`) or resource (`configmaps`), in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only requests about the object of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Filter {
    /// Whether every request passes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn hits(&self, asked: &Asked) -> bool {
        let verb = self.verb.is_none_or(|verb| verb == asked.verb);
        let kind = self.kind.as_deref().is_none_or(|wanted| {
            let is = |have: &Option<String>| {
                have.as_deref()
                    .is_some_and(|have| have.eq_ignore_ascii_case(wanted))
            };
            is(&asked.kind) || is(&asked.resource)
        });
        let name = self
            .name
            .as_deref()
            .is_none_or(|wanted| asked.name.as_deref() == Some(wanted));
        verb && kind && name
    }
}

/// One fault of one cluster: what, for which requests, how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// To which requests.
    #[serde(default, rename = "where", skip_serializing_if = "Filter::is_empty")]
    pub filter: Filter,
    /// How often, until it is used up; always when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self {
            kind,
            filter: Filter::default(),
            times: None,
        }
    }
}

impl Fault {
    /// The fault for requests with this verb only.
    #[must_use]
    pub fn verb(mut self, verb: Verb) -> Self {
        self.filter.verb = Some(verb);
        self
    }

    /// The fault for requests about this kind only.
    #[must_use]
    pub fn of_kind(mut self, kind: impl Into<String>) -> Self {
        self.filter.kind = Some(kind.into());
        self
    }

    /// The fault for requests about the object of this name only.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.filter.name = Some(name.into());
        self
    }

    /// The fault for the next `times` requests it hits.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Whether the fault can be switched on at all.
    ///
    /// # Errors
    /// A code that is no error status, or `times` of zero.
    pub fn check(&self) -> Result<(), FaultError> {
        self.kind.check()?;
        if self.times == Some(0) {
            return Err(FaultError::NoTimes);
        }
        Ok(())
    }

    /// Neither filtered nor counted: the state of the whole line until it is healed.
    pub(crate) fn is_total(&self) -> bool {
        self.filter.is_empty() && self.times.is_none()
    }

    /// Whether the request is one of those the fault is for.
    pub(crate) fn hits(&self, asked: &Asked) -> bool {
        if asked.is_version() {
            return self.is_total() && self.kind.is_of_the_line();
        }
        if self.kind == FaultKind::HangFinalizer && !asked.may_hang() {
            return false;
        }
        self.filter.hits(asked)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::BlackHole => f.write_str("black-hole")?,
            FaultKind::Reset => f.write_str("reset")?,
            FaultKind::Latency { ms } => write!(f, "latency {ms}")?,
            FaultKind::Late { ms } => write!(f, "late {ms}")?,
            FaultKind::Status { code } => write!(f, "status {code}")?,
            FaultKind::DropReply => f.write_str("drop-reply")?,
            FaultKind::HangFinalizer => f.write_str("hang-finalizer")?,
        }
        if let Some(verb) = self.filter.verb {
            write!(f, " --verb {verb}")?;
        }
        if let Some(kind) = &self.filter.kind {
            write!(f, " --kind {kind}")?;
        }
        if let Some(name) = &self.filter.name {
            write!(f, " --name {name}")?;
        }
        if let Some(times) = self.times {
            write!(f, " --times {times}")?;
        }
        Ok(())
    }
}

/// Why a fault was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No such kind.
    #[error(
        "no fault is called {0:?}; there are black-hole, reset, latency MS, late MS, status CODE, drop-reply and hang-finalizer"
    )]
    UnknownKind(String),
    /// The argument is missing, too many, or not a number in range.
    #[error("fault {kind} takes {what}")]
    Argument {
        /// The fault's kind.
        kind: String,
        /// What it takes.
        what: &'static str,
    },
    /// A fault for no request at all.
    #[error("a fault that happens 0 times is none; heal the cluster instead")]
    NoTimes,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn every_kind_reads_back_what_it_shows() {
        for words in [
            &["black-hole"][..],
            &["reset"],
            &["latency", "20"],
            &["late", "3000"],
            &["status", "503"],
            &["drop-reply"],
            &["hang-finalizer"],
        ] {
            let kind = FaultKind::from_words(words[0], &words[1..]).unwrap();
            assert_eq!(Fault::from(kind).to_string(), words.join(" "));
        }
    }

    #[test]
    fn a_fault_survives_its_json_form() {
        let fault = Fault::from(FaultKind::Status { code: 503 })
            .verb(Verb::Apply)
            .of_kind("ConfigMap")
            .named("a")
            .times(2);
        let text = serde_json::to_string(&fault).unwrap();
        assert_eq!(
            text,
            r#"{"fault":"status","code":503,"where":{"verb":"apply","kind":"ConfigMap","name":"a"},"times":2}"#
        );
        assert_eq!(serde_json::from_str::<Fault>(&text).unwrap(), fault);
    }

    #[test]
    fn words_that_make_no_sense_are_refused() {
        for (kind, args) in [
            ("blackhole", &[][..]),
            ("latency", &[]),
            ("latency", &["soon"]),
            ("status", &["200"]),
            ("status", &["70000"]),
            ("reset", &["1"]),
        ] {
            assert!(
                FaultKind::from_words(kind, args).is_err(),
                "{kind} {args:?}"
            );
        }
    }
}
