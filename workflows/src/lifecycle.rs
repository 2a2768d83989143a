//! The workflow types: `Instantiate` and `Terminate` are two names of one loop, `Slice` is a part
//! of a large context (protocol §4).

use crate::{
    contract::{
        AppWork, Begin, BeginInput, Defs, Fenced, OutlineInput, Permit, ProveInput, Reachable,
        ReachableInput, Settle, SliceInput, SliceOutcome, Wake, WatchInput, Watched, Work,
    },
    drive::{bundles::Bundles, lanes::Lanes, readiness::Readiness},
    limits,
    perform::{self, Drive, Ended, sure},
};
use model::{ids::Fence, state::Goal};
use std::time::Duration;
use temporalio_common::WorkflowDefinition;
use temporalio_macros::{workflow, workflow_methods};
use temporalio_workflow::{
    ContinueAsNewOptions, SyncWorkflowContext, WaitConditionOptions, WorkflowCancellationToken,
    WorkflowContext, WorkflowContextView, WorkflowResult, workflows::WorkflowImplementation,
};

/// Brings a context to Instantiated; a terminate that arrives meanwhile is carried out here too.
#[workflow]
pub struct Instantiate {
    wake: Wake,
    newest: Fence,
}

#[workflow_methods]
impl Instantiate {
    #[init]
    pub fn new(_: &WorkflowContextView, wake: Wake) -> Self {
        Self {
            newest: wake.fence,
            wake,
        }
    }

    #[run(name = "Instantiate")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        let wake = ctx.state(|s| s.wake.clone());
        lifecycle(ctx, wake).await
    }

    #[signal(name = "goal")]
    pub fn goal(&mut self, _: &mut SyncWorkflowContext<Self>, wake: Wake) {
        self.newest = self.newest.max(wake.fence);
    }
}

/// Brings a context to Terminated.
#[workflow]
pub struct Terminate {
    wake: Wake,
    newest: Fence,
}

#[workflow_methods]
impl Terminate {
    #[init]
    pub fn new(_: &WorkflowContextView, wake: Wake) -> Self {
        Self {
            newest: wake.fence,
            wake,
        }
    }

    #[run(name = "Terminate")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        let wake = ctx.state(|s| s.wake.clone());
        lifecycle(ctx, wake).await
    }

    #[signal(name = "goal")]
    pub fn goal(&mut self, _: &mut SyncWorkflowContext<Self>, wake: Wake) {
        self.newest = self.newest.max(wake.fence);
    }
}

/// Drives a range of rows for its parent; ends early when the parent asks.
#[workflow]
#[derive(Default)]
pub struct Slice;

#[workflow_methods]
impl Slice {
    #[run(name = "Slice")]
    pub async fn run(
        ctx: &mut WorkflowContext<Self>,
        input: SliceInput,
    ) -> WorkflowResult<SliceOutcome> {
        let fenced = Fenced {
            context: input.context.clone(),
            fence: input.fence,
        };
        let of = OutlineInput {
            context: input.context,
            fence: input.fence,
            goal: input.goal,
            slice: input.slice,
        };
        let Some(outline) = sure(ctx, || Defs::outline, of).await else {
            return Ok(SliceOutcome {
                superseded: false,
                failed: true,
            });
        };
        let mut bundles = Bundles::new(input.goal, &input.apps, outline);
        let drive = Drive {
            fenced,
            goal: input.goal,
            retry: input.retry,
            apps: Vec::new(),
        };
        let called_off = {
            let ctx = ctx.clone();
            async move {
                ctx.cancelled().await;
            }
        };
        let ended = perform::run(ctx, &drive, &mut bundles, called_off).await;
        Ok(SliceOutcome {
            superseded: ended.superseded,
            failed: ended.failed,
        })
    }
}

/// Watches a cluster until nobody wants it any more; one per cluster, by its id.
#[workflow]
pub struct Watch {
    input: WatchInput,
    wanted: u32,
}

#[workflow_methods]
impl Watch {
    #[init]
    pub fn new(_: &WorkflowContextView, input: WatchInput) -> Self {
        Self { input, wanted: 0 }
    }

    #[run(name = "Watch")]
    pub async fn run(ctx: &mut WorkflowContext<Self>) -> WorkflowResult<()> {
        let input = ctx.state(|w| w.input.clone());
        loop {
            let asked = ctx.state(|w| w.wanted);
            let token = WorkflowCancellationToken::new();
            let options = perform::watching(&token);
            match ctx
                .execute_activity(Defs::watch, input.clone(), options)
                .await
            {
                // A signal that came meanwhile may be about a context that it did not see.
                Ok(Watched::Unwanted) if ctx.state(|w| w.wanted) == asked => return Ok(()),
                Ok(_) => {}
                Err(_) => perform::pause(ctx, limits::PROBE_MAX).await,
            }
            if ctx.continue_as_new_suggested() {
                ctx.continue_as_new(input.clone(), ContinueAsNewOptions::default())?;
            }
        }
    }

    #[signal(name = "wanted")]
    pub fn wanted(&mut self, _: &mut SyncWorkflowContext<Self>, _: WatchInput) {
        self.wanted += 1;
    }
}

/// A workflow type that hears when the goal moves.
pub trait Hears: 'static {
    /// A newer goal than `fence`'s was signalled.
    fn moved(&self, fence: Fence) -> bool {
        self.newest() > fence
    }
    /// The newest goal that was signalled.
    fn newest(&self) -> Fence;
}

impl Hears for Instantiate {
    fn newest(&self) -> Fence {
        self.newest
    }
}

impl Hears for Terminate {
    fn newest(&self) -> Fence {
        self.newest
    }
}

/// begin → drive → settle, again while the goal moves.
async fn lifecycle<W>(ctx: &mut WorkflowContext<W>, wake: Wake) -> WorkflowResult<()>
where
    W: Hears + WorkflowImplementation,
    W::Run: WorkflowDefinition<Input = Wake>,
{
    let mut idle = 0_u32;
    loop {
        if ctx.continue_as_new_suggested() {
            // A new run takes a new fence; what is in flight under the old one is superseded.
            ctx.continue_as_new(wake.clone(), ContinueAsNewOptions::default())?;
        }
        let begin = BeginInput {
            context: wake.context.clone(),
            run_id: ctx.run_id().to_owned(),
        };
        let heard = ctx.state(Hears::newest);
        match sure(ctx, || Defs::begin, begin).await {
            // A verb that was accepted after the store was asked has not been looked at.
            Some(Begin::Settled) if ctx.state(|w| w.moved(heard)) => {}
            Some(Begin::Settled) => return Ok(()),
            Some(Begin::PreTerminate { fence }) => {
                let fenced = Fenced {
                    context: wake.context.clone(),
                    fence,
                };
                if let Some(Permit::Wait { ms }) = sure(ctx, || Defs::permit, fenced).await {
                    perform::pause(ctx, Duration::from_millis(ms.max(1))).await;
                }
            }
            Some(Begin::Drive(work)) => {
                let fence = work.fence;
                match turn(ctx, &wake, work).await {
                    Settle::Settled if !ctx.state(|w| w.moved(fence)) => return Ok(()),
                    _ if ctx.state(|w| w.moved(fence)) => idle = 0,
                    // The fence moved without a signal yet, a child was lost, or something is held
                    // up that no activity waits for: look again, ever slower.
                    _ => {
                        idle = (idle + 1).min(8);
                        perform::pause(ctx, Duration::from_millis(10 << idle)).await;
                    }
                }
            }
            None => perform::pause(ctx, Duration::from_secs(1)).await,
        }
    }
}

/// One drive with its proof and settle.
async fn turn<W: Hears>(ctx: &WorkflowContext<W>, wake: &Wake, work: Work) -> Settle {
    let fenced = Fenced {
        context: wake.context.clone(),
        fence: work.fence,
    };
    let drive = Drive {
        fenced: fenced.clone(),
        goal: work.goal,
        retry: work.retry,
        apps: order_in_slices(work.goal, &work.apps),
    };
    let ended = inline_or_sliced(ctx, &drive, work.apps, work.inline).await;
    if ended.superseded {
        return Settle::Moved;
    }
    if work.goal == Goal::Delete && !ended.failed {
        match prove(ctx, &fenced, work.clusters).await {
            Proven::Absent => {}
            Proven::Found => return Settle::Moved,
            Proven::Superseded => return Settle::Moved,
        }
    }
    if work.wait_ready && !ended.failed {
        let moved = moved(ctx, work.fence);
        let waited = perform::run(ctx, &drive, &mut Readiness::default(), moved).await;
        if waited.superseded {
            return Settle::Moved;
        }
    }
    sure(ctx, || Defs::settle, fenced)
        .await
        .unwrap_or(Settle::Unfinished)
}

/// Deletes keep the order of dependent apps within a slice, applies over all of them.
fn order_in_slices(goal: Goal, apps: &[AppWork]) -> Vec<AppWork> {
    if goal == Goal::Apply || apps.iter().all(|app| app.depends_on.is_empty()) {
        return Vec::new();
    }
    let bare = |app: &AppWork| AppWork {
        lanes: Vec::new(),
        ..app.clone()
    };
    apps.iter().map(bare).collect()
}

/// Completes when a newer goal than `fence`'s is signalled.
fn moved<W: Hears>(
    ctx: &WorkflowContext<W>,
    fence: Fence,
) -> impl Future<Output = ()> + 'static + use<W> {
    let ctx = ctx.clone();
    let token = WorkflowCancellationToken::new();
    async move {
        let options = WaitConditionOptions::builder()
            .cancellation_token(token)
            .build();
        let _ = ctx
            .wait_condition_with_options(|w| w.moved(fence), options)
            .await;
    }
}

async fn inline_or_sliced<W: Hears>(
    ctx: &WorkflowContext<W>,
    drive: &Drive,
    apps: Vec<AppWork>,
    inline: Option<model::plan::Outline>,
) -> Ended {
    let moved = moved(ctx, drive.fenced.fence);
    match inline {
        Some(outline) => {
            perform::run(
                ctx,
                drive,
                &mut Bundles::new(drive.goal, &apps, outline),
                moved,
            )
            .await
        }
        None => perform::run(ctx, drive, &mut Lanes::new(drive.goal, &apps), moved).await,
    }
}

enum Proven {
    Absent,
    Found,
    Superseded,
}

/// No object of the context is left on any cluster that was ever sent one.
async fn prove<W: Hears>(ctx: &WorkflowContext<W>, fenced: &Fenced, clusters: usize) -> Proven {
    let mut offset = 0;
    let mut found = 0;
    while offset < clusters {
        let input = ProveInput {
            context: fenced.context.clone(),
            fence: fenced.fence,
            offset,
            count: limits::PROOF_CLUSTERS,
        };
        let Some(proof) = sure(ctx, || Defs::prove, input).await else {
            return Proven::Superseded;
        };
        let moved = ctx.state(|w| w.moved(fenced.fence));
        if proof.superseded || moved || ctx.continue_as_new_suggested() {
            return Proven::Superseded;
        }
        found += proof.found;
        if let Some(cluster) = proof.unreachable.into_iter().next() {
            let input = ReachableInput {
                context: fenced.context.clone(),
                fence: fenced.fence,
                cluster,
                app: String::new(),
            };
            let token = WorkflowCancellationToken::new();
            let waited = ctx
                .execute_activity(Defs::reachable, input, perform::waiting(&token))
                .await;
            match waited {
                Ok(Reachable::Yes) => {}
                Ok(Reachable::Superseded) => return Proven::Superseded,
                Ok(Reachable::Expired) | Err(_) => perform::pause(ctx, limits::PROBE_MAX).await,
            }
        } else if proof.wait_ms > 0 {
            perform::pause(ctx, Duration::from_millis(proof.wait_ms)).await;
        } else {
            offset += limits::PROOF_CLUSTERS;
        }
    }
    if found > 0 {
        Proven::Found
    } else {
        Proven::Absent
    }
}
