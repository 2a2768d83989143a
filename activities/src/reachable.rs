//! Waiting for a parked cluster (protocol §8).

use crate::{clusters::clock::wall_ms, shared::Shared};
use model::{document::OnFailure, failure::Failure, row::Connectivity, state::ContextState};
use std::time::Duration;
use store::{ProbeLease, StoreError};
use workflows::{
    contract::{Reachable, ReachableInput},
    limits::HELLO_TIMEOUT,
};

/// A successful probe of another worker is noticed within this time.
const NOTICE: Duration = Duration::from_secs(2);
/// A probe takes at most two hellos and a look at the identity.
pub(crate) const LEASE: Duration = Duration::from_millis(4 * HELLO_TIMEOUT.as_millis() as u64);

/// One look.
pub enum Looked {
    Known(Reachable),
    /// Not yet, and why; look again after so long.
    NotYet {
        failure: Failure,
        delay: Duration,
    },
}

/// Probes if a probe is due and nobody else does.
pub async fn look(shared: &Shared, input: &ReachableInput) -> Result<Looked, StoreError> {
    let store = &shared.store;
    let context = store.context(&input.context).await?;
    if context.fence != input.fence {
        return Ok(Looked::Known(Reachable::Superseded));
    }
    let lease = store
        .probe_lease(
            &input.cluster,
            &shared.config.holder,
            crate::step::millis(LEASE),
        )
        .await?;
    let delay = match lease {
        ProbeLease::Available => return Ok(Looked::Known(Reachable::Yes)),
        ProbeLease::Wait { ms, .. } => Duration::from_millis(ms),
        ProbeLease::Yours => match shared.clusters.of(&input.cluster).probe().await? {
            Some(Connectivity::Available) => return Ok(Looked::Known(Reachable::Yes)),
            Some(_) => NOTICE,
            // The lease is this process's; another activity of it was faster.
            None => Duration::from_millis(50),
        },
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
