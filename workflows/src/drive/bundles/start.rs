//! What is started next: promoted rows while there are retry slots, then steps in turn.

use super::{Bundles, Kind, weight};
use crate::{
    drive::{Action, Flight},
    limits,
};
use model::ids::ClusterId;

/// Rows in flight in local activities: enough to fill the clusters' limits, few enough that one
/// task's markers stay small.
const ROWS_IN_FLIGHT: usize = 16 * limits::CHUNK_ROWS;
/// Of these on one cluster.
const ROWS_ON_CLUSTER: usize = limits::CHUNKS_PER_CLUSTER * limits::CHUNK_ROWS;

impl Bundles {
    pub(super) fn start(&mut self, kind: Kind, action: Action) -> Option<(Flight, Action)> {
        self.next_flight += 1;
        self.flights.insert(self.next_flight, kind);
        Some((self.next_flight, action))
    }

    /// The first transient row that gets a retry slot. A cluster with no row in a slot gets one in
    /// any case, so that a sick cluster cannot keep the others' rows from being retried.
    pub(super) fn next_promoted(&mut self) -> Option<(Flight, Action)> {
        let free = self.promoted < limits::RETRY_SLOTS;
        let slots = |this: &Self, cluster: &ClusterId| {
            let of = |k: &&Kind| matches!(k, Kind::Promoted { bundle, .. } if this.bundles[*bundle].cluster == *cluster);
            this.flights.values().filter(of).count()
        };
        let at = self
            .troubled
            .iter()
            .position(|(bundle, ..)| free || slots(self, &self.bundles[*bundle].cluster) == 0)?;
        let (bundle, act, row) = self.troubled.remove(at)?;
        self.unnoted.retain(|r| *r != row);
        self.promoted += 1;
        let cluster = self.bundles[bundle].cluster.clone();
        let rows = vec![row];
        self.start(
            Kind::Promoted {
                bundle,
                act,
                rows: rows.clone(),
            },
            Action::Promoted { act, cluster, rows },
        )
    }

    /// Rows in flight in local activities on a cluster.
    fn rows_on(&self, cluster: &ClusterId) -> usize {
        self.flights
            .values()
            .filter_map(|kind| match kind {
                Kind::Step { bundle, act, rows } => Some((bundle, weight(*act, rows))),
                _ => None,
            })
            .filter(|(bundle, _)| self.bundles[**bundle].cluster == *cluster)
            .map(|(_, weight)| weight)
            .sum()
    }

    pub(super) fn next_step(&mut self) -> Option<(Flight, Action)> {
        if self.window >= limits::WINDOW || self.rows_in_flight >= ROWS_IN_FLIGHT {
            return None;
        }
        // Round robin over the bundles, so that none takes the whole window.
        let n = self.bundles.len();
        for k in 0..n {
            let i = (self.cursor + k) % n;
            if self.bundles[i].parked || self.rows_on(&self.bundles[i].cluster) >= ROWS_ON_CLUSTER {
                continue;
            }
            let Some((act, rows)) = self.bundles[i].todo.pop_front() else {
                continue;
            };
            self.cursor = i + 1;
            self.bundles[i].busy += 1;
            self.window += 1;
            self.rows_in_flight += weight(act, &rows);
            let cluster = self.bundles[i].cluster.clone();
            return self.start(
                Kind::Step {
                    bundle: i,
                    act,
                    rows: rows.clone(),
                },
                Action::Step { act, cluster, rows },
            );
        }
        None
    }
}
