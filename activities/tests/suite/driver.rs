//! A driver that does what the workflow does, without Temporal.

use super::bed::Bed;
use activities::{gone, reachable, run_permit, run_settle};
use model::{ids::Fence, plan, state::Goal};
use std::time::Duration;
use workflows::contract::{
    Begin, Fenced, Permit, ProveInput, Reachable, ReachableInput, Settle, Step, StepOutcome,
};

/// Rounds of anything; far more than an honest test needs.
const ROUNDS: usize = 400;

impl Bed {
    /// Runs the context until it is settled, like the workflow; answers the final state.
    pub async fn drive(&self, run: &str) -> String {
        for _ in 0..ROUNDS {
            match self.begin(run).await {
                Begin::Settled => return self.state().await,
                Begin::PreTerminate { fence } => {
                    let input = Fenced {
                        context: self.context.clone(),
                        fence,
                    };
                    if let Permit::Wait { ms } = run_permit(&self.activities, &input).await.unwrap()
                    {
                        tokio::time::sleep(Duration::from_millis(ms)).await;
                    }
                }
                Begin::Drive(work) => {
                    for bundle in &work.inline.unwrap().bundles {
                        self.bundle(work.goal, work.fence, bundle).await;
                    }
                    if work.goal == Goal::Delete {
                        self.prove(work.fence, work.clusters).await;
                    }
                    let input = Fenced {
                        context: self.context.clone(),
                        fence: work.fence,
                    };
                    if run_settle(&self.activities, &input).await.unwrap() == Settle::Settled {
                        return self.state().await;
                    }
                }
            }
        }
        panic!("not settled: {:#?}", self.rows().await);
    }

    async fn bundle(&self, goal: Goal, fence: Fence, bundle: &plan::Bundle) {
        let waves: Vec<_> = match goal {
            Goal::Apply => bundle.shared.iter().chain(&bundle.waves).collect(),
            Goal::Delete => bundle.waves.iter().chain(&bundle.shared).collect(),
        };
        for wave in waves {
            for chunk in wave.chunks(32) {
                let step = Step {
                    context: self.context.clone(),
                    fence,
                    cluster: bundle.cluster.clone(),
                    rows: chunk.to_vec(),
                    promoted: false,
                };
                let outcome = self.rows_of_step(goal, step, &bundle.app).await;
                if outcome.superseded || (goal == Goal::Apply && !outcome.failed.is_empty()) {
                    return;
                }
            }
        }
    }

    async fn rows_of_step(&self, goal: Goal, mut step: Step, app: &str) -> StepOutcome {
        let mut failed = Vec::new();
        for _ in 0..ROUNDS {
            let mut outcome = StepOutcome::default();
            if goal == Goal::Apply {
                let looked = self
                    .activities
                    .run_look(step.clone())
                    .await
                    .unwrap()
                    .outcome;
                step.rows
                    .retain(|row| !looked.failed.contains(row) && !looked.again.contains(row));
                outcome = looked;
            }
            let ended = match goal {
                Goal::Apply => self.activities.run_apply(step.clone()).await.unwrap(),
                Goal::Delete => self.activities.run_delete(step.clone()).await.unwrap(),
            };
            failed.extend(outcome.failed);
            failed.extend(ended.outcome.failed.iter().copied());
            if ended.outcome.superseded || outcome.superseded {
                return StepOutcome {
                    superseded: true,
                    ..StepOutcome::default()
                };
            }
            if !ended.outcome.waiting.is_empty() {
                self.gone(Step {
                    rows: ended.outcome.waiting.clone(),
                    ..step.clone()
                })
                .await;
            }
            if outcome.unreachable || ended.outcome.unreachable {
                self.reachable(&step, app).await;
            }
            let delay = ended.retry.map_or(0, |(_, delay)| delay.as_millis() as u64);
            let delay = delay.max(outcome.again_ms).max(ended.outcome.again_ms);
            let mut rows = ended.outcome.again;
            rows.extend(ended.outcome.retry);
            rows.extend(outcome.again);
            if rows.is_empty() {
                return StepOutcome {
                    failed,
                    ..StepOutcome::default()
                };
            }
            rows.sort_unstable();
            rows.dedup();
            step.rows = rows;
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        panic!(
            "step does not end: {:#?}",
            self.store.rows(&self.context, &step.rows).await.unwrap()
        );
    }

    async fn gone(&self, step: Step) {
        for attempt in 1..=u32::try_from(ROUNDS).unwrap() {
            let waited = self
                .activities
                .run_gone(step.clone(), Duration::ZERO)
                .await
                .unwrap();
            if waited.still.is_none() {
                return;
            }
            tokio::time::sleep(gone::delay(attempt)).await;
        }
        panic!("never gone");
    }

    /// Waits for a parked cluster; true if it came back.
    pub async fn reachable(&self, step: &Step, app: &str) -> bool {
        let input = ReachableInput {
            context: step.context.clone(),
            fence: step.fence,
            cluster: step.cluster.clone(),
            app: app.to_owned(),
        };
        for _ in 0..ROUNDS {
            match self.activities.run_reachable(input.clone()).await.unwrap() {
                reachable::Looked::Known(answer) => return answer == Reachable::Yes,
                reachable::Looked::NotYet { delay, .. } => tokio::time::sleep(delay).await,
            }
        }
        panic!("never reachable");
    }

    async fn prove(&self, fence: Fence, count: usize) {
        let input = ProveInput {
            context: self.context.clone(),
            fence,
            offset: 0,
            count,
        };
        for _ in 0..ROUNDS {
            let Ok(proof) = self
                .activities
                .run_prove(input.clone(), Duration::from_secs(10))
                .await
            else {
                panic!("refused to list")
            };
            if proof.wait_ms == 0 && proof.unreachable.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(proof.wait_ms)).await;
        }
        panic!("never proven");
    }
}
