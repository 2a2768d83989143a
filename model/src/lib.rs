//! What the system means: identities, documents, state machines, placement, plans, folds.
//!
//! Nothing here is async, does I/O, reads a clock or draws a random number; time and ids come in
//! as arguments. Every other crate derives from these types.

pub mod diagram;
pub mod document;
pub mod failure;
pub mod health;
pub mod ids;
pub mod kubeconfig;
pub mod manifest;
pub mod placement;
pub mod plan;
pub mod readiness;
pub mod row;
pub mod state;
pub mod text;
