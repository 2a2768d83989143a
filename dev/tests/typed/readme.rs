//! The steps of README.md, read from it and typed as they stand. What they are to show beside their
//! success is said here; a step that is not known here fails.

use crate::terminal::{Machine, Running, states};
use std::fs;
use tests::{
    clusters::{inventory, until_as_before},
    control_plane::{Assets, ControlPlane, Profile},
};

const README: &str = include_str!("../../../README.md");
/// `cargo` builds nothing: what it would build is built.
const CARGO: (&str, &str) = ("cargo", "[ \"$*\" = build ]");

/// The commands in the blocks below a heading; those of a language (```yaml) are no commands.
fn steps(heading: &str) -> Vec<&'static str> {
    let (_, section) = README.split_once(&format!("\n## {heading}\n")).unwrap();
    let mut steps = vec![];
    let mut within: Option<&str> = None;
    for line in section.lines().take_while(|line| !line.starts_with("## ")) {
        match (line.strip_prefix("```"), within) {
            (Some(language), None) => within = Some(language),
            (Some(_), Some(_)) => within = None,
            (None, Some("")) => steps.push(line),
            (None, _) => {}
        }
    }
    assert!(!steps.is_empty(), "README.md has no steps in {heading:?}");
    steps
}

/// Without the comment.
fn bare(step: &str) -> &str {
    step.split(" # ").next().unwrap().trim_end()
}

fn is_deleted(state: &&str) -> bool {
    *state == "Deleted"
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apps_on_three_clusters_are_had_by_typing_what_the_readme_says() {
    let Some(assets) = Assets::find() else { return };
    let kubectl = format!("exec {} \"$@\"", assets.binary("kubectl").display());
    let mut machine = Machine::new(&[CARGO, ("kubectl", &kubectl)]);
    let mut up: Option<Running> = None;
    for step in steps("Two apps on three clusters, step by step") {
        let says: &[&str] = match bare(step) {
            export if export.starts_with("export ") => {
                machine.export(export);
                continue;
            }
            "muster-dev up" => {
                up = Some(machine.up(step));
                continue;
            }
            "muster status shop/boutique --watch" => {
                let mut watch = machine.begin(step);
                watch.prints("Terminated");
                watch.interrupt();
                continue;
            }
            "muster-dev sandbox heal c2" => {
                // What the two steps before promise, which a reader sees a moment later.
                machine.until("only c2 is left", "shop/boutique", |status| {
                    let empty = |cluster| states(status, cluster).iter().all(is_deleted);
                    let waits = states(status, "sandbox+c2").contains(&"Retrying");
                    empty("sandbox+c1") && empty("sandbox+c3") && waits
                });
                &[]
            }
            "cargo build" | "muster-dev sandbox fault c2 black-hole" => &[],
            "muster apply -f samples/shop/shop.yaml" => &["boutique"],
            "muster get clusters" => &["sandbox+c1", "sandbox+c2", "sandbox+c3"],
            "muster approve shop/boutique" => &["boutique"],
            "muster instantiate shop/boutique --wait" => &["Instantiated"],
            "muster status shop/boutique" => &["backend", "frontend", "sandbox+c3"],
            "muster events shop/boutique" => &["Instantiated"],
            "muster terminate shop/boutique --yes" => &["boutique"],
            kubectl if kubectl.starts_with("kubectl ") => &["storefront", "catalogue"],
            unknown => panic!("{unknown:?} is new in README.md: say here what it shows"),
        };
        let printed = machine.type_line(step);
        for part in says {
            assert!(printed.contains(part), "$ {step}\n{printed}");
        }
    }
    let left = machine.type_line(
        "kubectl --kubeconfig ~/.local/share/muster/kubeconfig/c2.yaml get deployments -A",
    );
    assert_eq!(left, "");
    up.unwrap().interrupt();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_ones_own_is_used_by_typing_what_the_readme_says() {
    let Some(plane) = ControlPlane::start("edge", Profile::Whole).await else {
        return;
    };
    let real = plane.client().await;
    let before = inventory(&real).await;
    // Asked for its kubeconfig, kind prints it.
    let kind = format!("cat {}", plane.kubeconfig_file().display());
    let mut machine = Machine::new(&[("kind", &kind)]);
    machine.export("export PATH=$PWD/target/debug:$PATH");
    let mut up: Option<Running> = None;
    for step in steps("On your own clusters") {
        let says: &[&str] = match bare(step) {
            "muster-dev up --clusters 0 --cluster edge=edge.yaml" => {
                let mut begun = machine.up(step);
                let (_, prints) = step.split_once("# prints: ").unwrap();
                begun.prints(prints.trim_end_matches('…'));
                up = Some(begun);
                continue;
            }
            "kind get kubeconfig --name edge > edge.yaml"
            | "muster-dev sandbox fault edge black-hole" => &[],
            "muster apply -f samples/shop/shop.yaml -f samples/shop/real.yaml"
            | "muster approve shop/boutique-real" => &["boutique-real"],
            "muster instantiate shop/boutique-real --wait" => &["Instantiated"],
            unknown => panic!("{unknown:?} is new in README.md: say here what it shows"),
        };
        let printed = machine.type_line(step);
        for part in says {
            assert!(printed.contains(part), "$ {step}\n{printed}");
        }
    }
    assert!(fs::read_to_string(machine.clone_folder().join("edge.yaml")).is_ok());
    machine.type_line("muster terminate shop/boutique-real --yes");
    machine.until("nothing gets through", "shop/boutique-real", |status| {
        states(status, "real+edge").contains(&"Retrying")
    });
    machine.type_line("muster-dev sandbox heal edge");
    machine.until("Terminated", "shop/boutique-real", |status| {
        status["context"]["state"] == "Terminated"
    });
    until_as_before(&real, &before).await;
    up.unwrap().interrupt();
}
