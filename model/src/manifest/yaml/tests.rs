//! What a text made to hurt costs until it is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

/// Nine to the power of so many items, in a few lines.
fn bomb(item: &str, levels: usize) -> String {
    let mut text = format!("a0: &a0 [{}]\n", [item; 9].join(", "));
    for level in 1..levels {
        let alias = format!("*a{}, ", level - 1).repeat(9);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    text
}

/// All that was built of a text, read or half read.
fn built(composer: &Composer) -> usize {
    let open = composer.stack.iter().map(|frame| match frame {
        Frame::Sequence { items, .. } => items.iter().map(weight).sum(),
        Frame::Mapping { map, .. } => map.values().map(weight).sum::<usize>(),
    });
    let anchored = composer.anchors.values().map(weight);
    let done = composer.done.iter().map(|document| weight(&document.value));
    open.chain(anchored).chain(done).sum()
}

/// Counted, not timed: what is built bounds the work, since whatever is weighed is built next.
#[test]
fn an_alias_bomb_is_refused_after_the_same_few_megabytes_however_large_it_would_become() {
    for dialect in [Dialect::Kubectl, Dialect::Muster] {
        for item in ["x", "{a: {b: [c]}}", &"x".repeat(1_000)] {
            let mut costs = vec![];
            // The smallest would fit into memory if nobody refused it.
            for levels in [6, 10, 30] {
                let text = bomb(item, levels);
                let mut composer = Composer::new(dialect);
                let error = composer.read(&text).unwrap_err();
                assert!(error.cause.contains("aliases"), "{error}");
                let built = built(&composer);
                // Each byte of the text is at most a node of its own.
                let of_itself = text.len() * (1 + NODE_WEIGHT);
                assert!(built <= of_itself + MAX_COPIED, "{built}");
                costs.push((error.line, built));
            }
            costs.dedup();
            assert_eq!(costs.len(), 1, "a larger one costs more: {costs:?}");
        }
    }
}
