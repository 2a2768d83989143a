//! Fuzzes `check/kubeconfig.rs`.
#![no_main]

#[path = "check/kubeconfig.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|text: &str| check::check(text));
