//! Waiting for a parked cluster (protocol §8).

use crate::{clusters::clock::wall_ms, shared::Shared};
use model::{
    document::OnFailure, failure::Failure, ids::ClusterId, row::Connectivity, state::ContextState,
};
use std::time::Duration;
use store::{ProbeLease, StoreError};
use workflows::{
    contract::{Reachable, ReachableInput},
    limits::AWAIT_START_TO_CLOSE,
};

/// A successful probe of another worker is noticed within this time.
const NOTICE: Duration = Duration::from_secs(2);
/// A probe takes at most two hellos and a look at the identity, and no longer than its activity.
pub(crate) const LEASE: Duration = AWAIT_START_TO_CLOSE;

/// One look.
pub enum Looked {
    Known(Reachable),
    /// Not yet, and why; look again after so long.
    NotYet {
        failure: Failure,
        delay: Duration,
    },
}

/// Probes a parked cluster if a probe is due and nobody else does; `None` = it answers, else look
/// again after so long.
pub async fn probe_if_due(
    shared: &Shared,
    cluster: &ClusterId,
) -> Result<Option<Duration>, StoreError> {
    let lease = shared
        .store
        .probe_lease(cluster, &shared.config.holder, crate::step::millis(LEASE))
        .await?;
    Ok(match lease {
        ProbeLease::Available => None,
        ProbeLease::Wait { ms, .. } => Some(Duration::from_millis(ms)),
        ProbeLease::Yours => match shared.clusters.of(cluster).probe().await? {
            Some(Connectivity::Available) => None,
            Some(_) => Some(NOTICE),
            // The lease is this process's; another activity of it was faster.
            None => Some(Duration::from_millis(50)),
        },
    })
}

/// One look on behalf of a bundle.
pub async fn look(shared: &Shared, input: &ReachableInput) -> Result<Looked, StoreError> {
    let store = &shared.store;
    let context = store.context(&input.context).await?;
    if context.fence != input.fence {
        return Ok(Looked::Known(Reachable::Superseded));
    }
    let Some(delay) = probe_if_due(shared, &input.cluster).await? else {
        return Ok(Looked::Known(Reachable::Yes));
    };
    let row = store.cluster(&input.cluster).await?;
    let failure = row
        .error
        .clone()
        .unwrap_or_else(|| Failure::new("unreachable", "the cluster does not answer"));
    let now = wall_ms();
    let next = row.next_probe_ms.map_or(delay, |at| {
        Duration::from_millis(u64::try_from(at - now).unwrap_or(0))
    });
    let mut delay = delay.min(next).clamp(Duration::from_millis(50), NOTICE);
    if let Some(max_elapsed) = context.policy.retry.max_elapsed_ms
        && let Some(elapsed) = store
            .bundle_waits(&input.context, &input.app, &input.cluster)
            .await?
    {
        if elapsed >= max_elapsed {
            let failure = Failure::retry_time_exceeded(Some(&failure));
            store
                .expire_bundle(
                    &input.context,
                    input.fence,
                    &input.app,
                    &input.cluster,
                    &failure,
                )
                .await?;
            let halted = context.policy.on_failure == OnFailure::FailFast
                && context.state == ContextState::Instantiating;
            return Ok(Looked::Known(match halted {
                true => Reachable::Superseded,
                false => Reachable::Expired,
            }));
        }
        delay = delay.min(Duration::from_millis((max_elapsed - elapsed).max(50)));
    }
    Ok(Looked::NotYet { failure, delay })
}
