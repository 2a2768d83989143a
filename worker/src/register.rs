//! Which workflows and activities this binary has, said once for hosting and for replay.

use temporal::{WorkerOptions, WorkflowReplayerOptions};
use workflows::{
    check::CheckCluster,
    collect::Collect,
    lifecycle::{Instantiate, Slice, Terminate, Watch},
};

/// Both take the same types, each by a method of its own.
macro_rules! register {
    ($options:expr) => {
        $options
            .register_workflow::<Instantiate>()
            .and_then(|options| options.register_workflow::<Terminate>())
            .and_then(|options| options.register_workflow::<Slice>())
            .and_then(|options| options.register_workflow::<CheckCluster>())
            .and_then(|options| options.register_workflow::<Watch>())
            .and_then(|options| options.register_workflow::<Collect>())
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
}

/// The workflow types, for a worker that runs them.
pub(crate) fn hosted(options: &mut WorkerOptions) -> Result<(), String> {
    register!(options)
}

/// The same types, for a replay.
pub(crate) fn replayed(options: &mut WorkflowReplayerOptions) -> Result<(), String> {
    register!(options)
}
