//! The bodies that only ask the store, for callers that are not Temporal.

use crate::{activities::Activities, run};
use store::StoreError;
use workflows::contract::{Begin, BeginInput, Fenced, Permit, Settle};

/// The body of `begin`.
pub async fn run_begin(activities: &Activities, input: &BeginInput) -> Result<Begin, StoreError> {
    run::begin(&activities.shared, input).await
}

/// The body of `permit`.
pub async fn run_permit(activities: &Activities, input: &Fenced) -> Result<Permit, StoreError> {
    run::permit(&activities.shared, input).await
}

/// The body of `settle`.
pub async fn run_settle(activities: &Activities, input: &Fenced) -> Result<Settle, StoreError> {
    run::settle(&activities.shared, input).await
}
