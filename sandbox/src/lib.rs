//! Kubernetes API servers in one process, for demos and tests, and the fault switch in front of them.
//!
//! `kube` simulates clusters and answers API requests; `host` gives each of them an address, a kubeconfig
//! and faults; `control` lets another process switch them. This crate knows nothing of Muster: it can stand
//! in for any cluster any client talks to.

pub mod kube;

pub mod host;

pub mod control;

pub use host::Host;
