//! Kubeconfigs: accepted or refused in a sentence of bounded length that holds no value.

use model::kubeconfig;

/// Longest error: it must fit into the trailers of an answer.
const LONGEST: usize = 4_000;

pub fn check(text: &str) {
    // Planted where credentials stand, in a text that has both.
    let planted = text.replace("PLANTED", "zq7-planted-marker");
    for context in [None, Some("a")] {
        if let Err(error) = kubeconfig::check(&planted, context) {
            let said = error.to_string();
            assert!(
                said.len() < LONGEST && !error.next_step.is_empty(),
                "{said}"
            );
            let names_it = error.cause.starts_with("has no context")
                || error.cause.starts_with("names ")
                || error.field == "kind";
            assert!(names_it || !said.contains("zq7-planted-marker"), "{said}");
        }
    }
}
