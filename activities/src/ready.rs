//! Waiting for readiness: the store is asked, no cluster is.

use crate::shared::Shared;
use model::failure::Failure;
use std::time::Duration;
use store::{ReadyRow, StoreError};
use workflows::{
    contract::{Ready, ReadyInput},
    limits::{READY_LOOK, READY_LOOK_MAX},
};

/// One look.
pub enum Looked {
    Known(Ready),
    /// Not yet, and why.
    NotYet(Failure),
}

/// The pause before the next look.
pub fn delay(attempt: u32) -> Duration {
    READY_LOOK
        .saturating_mul(attempt.clamp(1, 16))
        .min(READY_LOOK_MAX)
}

/// Whether the context, or its app, is ready.
pub async fn look(shared: &Shared, input: &ReadyInput) -> Result<Looked, StoreError> {
    let ready = shared
        .store
        .readiness(&input.context, input.fence, input.app.as_deref())
        .await?;
    Ok(match ready {
        ReadyRow::Ready => Looked::Known(Ready::Yes),
        ReadyRow::Superseded => Looked::Known(Ready::Superseded),
        ReadyRow::Expired(_) => Looked::Known(Ready::Expired),
        ReadyRow::NotYet(lacking) => Looked::NotYet(Failure::new(
            model::readiness::NOT_READY,
            lacking.waits_for(),
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::delay;

    #[test]
    fn looks_begin_small_and_stay_within_a_second() {
        let ms: Vec<_> = [1, 2, 4, 5, 100].map(|n| delay(n).as_millis()).into();
        assert_eq!(ms, [250, 500, 1_000, 1_000, 1_000]);
    }
}
