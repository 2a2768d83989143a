//! Server-side apply: who owns which field, and what an apply may change.
//!
//! A re-implementation of what structured-merge-diff does for a kube-apiserver, driven by one table of list
//! and map types (`shape`) instead of the full schemas.

mod apply;
mod managed;
mod merge;
mod set;
mod shape;

pub use apply::{By, Refused};
pub use managed::{Manager, Managers, Operation};
pub use merge::{element, misfit};
pub use shape::{ListRule, Shape};
