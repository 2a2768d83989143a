//! Every side effect of a lifecycle: what Temporal calls activities.
//!
//! Implements the definitions of `workflows::contract`. The only crate that knows Kubernetes. What
//! may be sent is decided by the store (fence, attempts), what an answer means by `model`; this
//! crate opens, sends and closes (protocol §5).

mod activities;
mod bodies;
mod config;
mod manifests;
mod shared;
mod temporal;

pub mod apply;
pub mod attempts;
mod batch;
pub mod check;
pub mod clusters;
pub mod collect;
pub mod delete;
pub mod established;
pub mod failpoint;
pub mod gone;
pub mod judge;
pub mod listing;
pub mod look;
pub mod object;
pub mod prepare;
pub mod prove;
pub mod reachable;
pub mod ready;
pub mod release;
pub mod request;
pub mod run;
pub mod step;
pub mod watch;

#[cfg(test)]
mod fixture;

pub use activities::Activities;
pub use bodies::{run_begin, run_permit, run_settle};
pub use config::ActivitiesConfig;
