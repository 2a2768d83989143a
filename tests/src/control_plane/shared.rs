//! Control planes that the tests of one process take in turn: starting a pair costs seconds of
//! both cores, and what a test leaves is known.

use super::{ControlPlane, Profile};
use crate::clusters::{client, inventory, remove};
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Pairs nobody uses just now.
static IDLE: Mutex<Vec<Pair>> = Mutex::new(Vec::new());

struct Pair {
    planes: [ControlPlane; 2],
    /// What was there at the start.
    before: [BTreeSet<String>; 2],
}

/// Two whole control planes for one test at a time. They come back empty: what a test left is
/// removed before the next one gets them, and a test that panics takes them along.
pub struct Lease {
    pair: Option<Pair>,
}

/// A pair, new if all are in use; `None` when the binaries are absent, which is said.
pub async fn lease() -> Option<Lease> {
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let pair = match idle {
        Some(pair) => pair,
        None => {
            let planes = ControlPlane::start_pair(Profile::Whole).await?;
            let before = [
                inventory_of(&planes[0]).await,
                inventory_of(&planes[1]).await,
            ];
            Pair { planes, before }
        }
    };
    Some(Lease { pair: Some(pair) })
}

impl Lease {
    pub fn planes(&self) -> &[ControlPlane; 2] {
        &self.pair.as_ref().unwrap().planes
    }

    /// Gives the pair back, as empty as it was at the start.
    pub async fn give_back(mut self) {
        let Some(pair) = self.pair.take() else { return };
        for (plane, before) in pair.planes.iter().zip(&pair.before) {
            remove(&client(&plane.kubeconfig()).await, before).await;
        }
        IDLE.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(pair);
    }
}

async fn inventory_of(plane: &ControlPlane) -> BTreeSet<String> {
    inventory(&client(&plane.kubeconfig()).await).await
}
