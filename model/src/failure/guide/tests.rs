//! The table is complete, and `docs/failures.md` says the same.

#![allow(clippy::unwrap_used)] // a failed test may panic
use super::*;
use std::{collections::BTreeSet, fmt::Write as _};

fn table(out: &mut String, head: &str, guides: &[Guide]) {
    let _ = writeln!(
        out,
        "| {head} | what you see | what it means | what Muster does | what to do |\n|---|---|---|---|---|"
    );
    for guide in guides {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            guide.code,
            cell(guide.sees),
            cell(guide.means),
            cell(guide.does),
            cell(guide.next)
        );
    }
}

fn document() -> String {
    let mut out = String::from(
        "# What can go wrong\n\n\
         Written by `MUSTER_UPDATE=1 cargo test -p muster-model` from `model/src/failure/guide.rs`, which \
         `muster status` and `muster cluster check` speak from; \
         `tests/tests/suite/failures.rs` causes what can be caused from outside and compares what is shown. \
         Words in capitals stand for something of the case; values of objects are never shown.\n\n\
         ## Problems\n\
         `muster status DIG` begins with them, grouped by cause, worst first: cluster, app, object, \
         cause, code, attempts, since when, next attempt, and what to do. The code stands in \
         brackets, in `-o json` as `problems[].code`; `muster events` has it as `code`.\n\n",
    );
    table(&mut out, "code", GUIDES);
    out.push_str(
        "\n## Refused commands\n\
         What is wrong with a document, a name or a state says so itself, with the next step. These \
         are about what Muster runs on; `error.reason` with `-o json`.\n\n",
    );
    table(&mut out, "reason", REFUSALS);
    out
}

#[test]
fn the_documentation_says_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/failures.md");
    if std::env::var_os("MUSTER_UPDATE").is_some() {
        std::fs::write(path, document()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == document(),
        "docs/failures.md is out of date: MUSTER_UPDATE=1 cargo test -p muster-model"
    );
}

#[test]
fn every_code_has_one_entry_with_everything_said() {
    let mut codes = BTreeSet::new();
    for guide in GUIDES.iter().chain(REFUSALS) {
        assert!(codes.insert(guide.code), "{} stands twice", guide.code);
        for text in [guide.sees, guide.means, guide.does, guide.next] {
            assert!(!text.is_empty() && !text.ends_with('.'), "{guide:?}");
        }
    }
}
