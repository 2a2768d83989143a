//! The embedded stack on one machine, and the demo that shows it off.
//!
//! `up` starts children that are this same binary with a hidden subcommand ([`inner`]), and
//! Temporal's development server; each can be killed alone and is started again.

pub mod args;
mod child;
pub mod demo;
pub mod endpoints;
pub mod faults;
pub mod folder;
pub mod inner;
mod plan;
mod ports;
pub mod process;
mod register;
pub mod stack;
