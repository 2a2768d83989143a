//! How long texts made to hurt take to be refused: `cargo run --release -p muster-model --example refusals`.

#![allow(clippy::print_stdout, reason = "figures are what this program is for")]

use model::{document::parse_documents, kubeconfig, manifest};
use std::time::{Duration, Instant};

const ROUNDS: usize = 101;

/// Nine to the power of nine words, in a few lines.
fn bomb(item: &str) -> String {
    let mut text = format!("a0: &a0 [{}]\n", [item; 9].join(", "));
    for level in 1..10 {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    text
}

/// Each anchor's value is kept, and holds all the others.
fn nested() -> String {
    let open: String = (0..90).map(|i| format!("&n{i} [")).collect();
    open + &"x, ".repeat(20_000) + &"]".repeat(90)
}

fn merges() -> String {
    let keys: String = (0..1_000).map(|i| format!("k{i}: v, ")).collect();
    format!("a: &a {{{keys}}}\nb:\n") + &"- {<<: *a}\n".repeat(10_000)
}

/// Median and longest, of runs after a first one that warms up.
fn timed(mut run: impl FnMut()) -> String {
    run();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    format!("{:.1?} (≤ {:.1?})", times[ROUNDS / 2], times[ROUNDS - 1])
}

fn main() {
    let texts = [
        ("alias bomb of words", bomb("x")),
        ("alias bomb of long words", bomb(&"x".repeat(1_000))),
        ("alias bomb of mappings", bomb("{a: {b: [c]}}")),
        ("anchors inside of anchors", nested()),
        ("ten thousand merges of a thousand keys", merges()),
        ("a million brackets", "[".repeat(1_000_000)),
        ("a hundred thousand indented levels", "- ".repeat(100_000)),
        ("a key of a megabyte", format!("{}: v", "k".repeat(1 << 20))),
    ];
    println!("median (and longest) of {ROUNDS}: document, manifest, kubeconfig; all refused:");
    for (what, text) in texts {
        let document = timed(|| assert!(parse_documents("d", &text).is_err()));
        let object = timed(|| assert!(manifest::read("m", &text).is_err()));
        let config = timed(|| assert!(kubeconfig::check(&text, None).is_err()));
        println!("{what}: {document}, {object}, {config}");
    }
}
