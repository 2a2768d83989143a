//! The pictures and tables in `docs/` are those of the functions.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use std::{fs, path::Path};

#[test]
fn the_docs_show_the_machines_as_they_are() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let mut pages = vec![("states.md".to_owned(), states_page())];
    for machine in machines() {
        pages.push((format!("{}.svg", machine.name), machine.svg(None)));
    }
    for (name, want) in pages {
        let path = docs.join(&name);
        if std::env::var_os("MUSTER_UPDATE").is_some() {
            fs::create_dir_all(&docs).unwrap();
            fs::write(&path, &want).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == want,
            "docs/{name} is stale: MUSTER_UPDATE=1 cargo test -p muster-model"
        );
    }
}

#[test]
fn the_current_state_is_painted_and_every_state_is_drawn() {
    for machine in machines() {
        for state in machine.states() {
            let svg = machine.svg(Some(state));
            assert_eq!(
                svg.matches("class=\"now\"").count(),
                1,
                "{} {state}",
                machine.name
            );
            assert!(svg.contains(&format!(">{state}</text>")));
        }
        assert!(
            machine
                .plantuml(machine.states().last().copied())
                .contains("#lightblue")
        );
    }
}
