//! Which workflows and activities this binary has, said once for hosting and for replay.

use temporal::{WorkerOptions, WorkflowReplayerOptions};
use workflows::{
    check::CheckCluster,
    collect::Collect,
    lifecycle::{Instantiate, Slice, Terminate, Watch},
};

/// The workflow types, for a worker that runs them.
pub(crate) fn hosted(options: &mut WorkerOptions) -> Result<(), String> {
    options
        .register_workflow::<Instantiate>()
        .and_then(|options| options.register_workflow::<Terminate>())
        .and_then(|options| options.register_workflow::<Slice>())
        .and_then(|options| options.register_workflow::<CheckCluster>())
        .and_then(|options| options.register_workflow::<Watch>())
        .and_then(|options| options.register_workflow::<Collect>())
        .map(|_| ())
        .map_err(|error| error.to_string())
}

/// The same types, for a replay.
pub(crate) fn replayed(options: &mut WorkflowReplayerOptions) -> Result<(), String> {
    options
        .register_workflow::<Instantiate>()
        .and_then(|options| options.register_workflow::<Terminate>())
        .and_then(|options| options.register_workflow::<Slice>())
        .and_then(|options| options.register_workflow::<CheckCluster>())
        .and_then(|options| options.register_workflow::<Watch>())
        .and_then(|options| options.register_workflow::<Collect>())
        .map(|_| ())
        .map_err(|error| error.to_string())
}
