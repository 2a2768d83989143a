//! Fuzzes `check/manifest.rs`.
#![no_main]

#[path = "check/manifest.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|text: &str| check::check(text));
