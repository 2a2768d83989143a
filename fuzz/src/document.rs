//! Fuzzes `check/document.rs`.
#![no_main]

#[path = "check/document.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|text: &str| check::check(text));
