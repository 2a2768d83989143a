//! The acts: two lives of one application.

use super::{
    application::Application,
    client::{Client, Counts, View, words},
    logs::{accepted, object, transition},
    objects::{self, Found},
    proof::{Proof, Proofs},
    show::Show,
};
use crate::endpoints::{Cluster, Endpoints};
use anyhow::Context;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use proto::v1::{ContextState, Event};
use sandbox::{
    control::Client as Switch,
    host::{Fault, FaultKind, LogEntry, Verb},
};
use std::{
    collections::BTreeSet,
    ffi::OsString,
    process::Stdio,
    time::{Duration, Instant},
};

/// How long one act may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(60);
const LOOK_CLOSELY: Duration = Duration::from_millis(15);
/// Added to every request of the second life, so that there is a middle to terminate in.
const DISTANCE_MS: u64 = 200;
/// Protocol: no apply leaves later than this after terminate was accepted.
const LAST_APPLY: Duration = Duration::from_secs(1);

/// Plays all acts.
///
/// # Errors
/// Something could not be done at all; what was done but did not hold is among the proofs.
pub async fn play(
    endpoints: &Endpoints,
    application: &Application,
    show: &Show,
) -> anyhow::Result<Vec<Proof>> {
    let grpc = endpoints.grpc.clone().context("the stack has no api")?;
    let mut play = Play {
        client: Client::connect(&grpc, application).await?,
        switch: Switch::from_dir(&endpoints.data_dir)?,
        endpoints,
        application,
        show,
        proofs: Proofs::default(),
    };
    play.documents(&grpc).await?;
    play.lost_and_found().await?;
    play.end_of_first_life().await?;
    play.terminated_in_the_middle().await?;
    Ok(play.proofs.all())
}

struct Play<'a> {
    client: Client,
    switch: Switch,
    endpoints: &'a Endpoints,
    application: &'a Application,
    show: &'a Show,
    proofs: Proofs,
}

impl Play<'_> {
    /// Act: documents, approve.
    async fn documents(&mut self, grpc: &str) -> anyhow::Result<()> {
        self.show.act("Upload the application and approve it");
        self.show.detail(&self.application.about);
        let file = self.application.documents.display().to_string();
        self.show.command(&format!("muster apply -f {file}"));
        let output = tokio::process::Command::new(std::env::current_exe()?)
            .args(["muster", "--server", grpc, "apply", "-f", &file].map(OsString::from))
            .env_remove("MUSTER_PROJECT")
            .stdin(Stdio::null())
            .output()
            .await?;
        self.show
            .note(String::from_utf8_lossy(&output.stdout).trim_end());
        anyhow::ensure!(
            output.status.success(),
            "muster apply: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        self.show
            .command(&format!("muster approve {}", self.application.reference()));
        self.client.approve().await?;
        Ok(())
    }

    /// Act: instantiate while one cluster is lost; heal it.
    async fn lost_and_found(&mut self) -> anyhow::Result<()> {
        let clusters = self.endpoints.clusters.clone();
        // The last one has no backend, which all frontends wait for.
        let lost = clusters.last().context("the demo needs clusters")?;
        let others: Vec<&Cluster> = clusters.iter().filter(|cluster| *cluster != lost).collect();
        self.show
            .act(&format!("Instantiate while {} is lost", lost.id));
        self.show
            .command(&format!("muster-dev sandbox fault {} black-hole", lost.id));
        self.switch
            .fault(&lost.name, &FaultKind::BlackHole.into())
            .await?;
        self.show.command(&format!(
            "muster instantiate {}",
            self.application.reference()
        ));
        let accepted = Instant::now();
        let context = self.client.instantiate().await?.context_id;

        let apart = |view: &View| {
            others
                .iter()
                .all(|cluster| view.on(&cluster.id).all_applied())
                && view.on(&lost.id).retrying > 0
        };
        let parted = self
            .follow("the others finish and the lost one is Retrying", apart)
            .await?;
        let others_done = accepted.elapsed();
        if let Some((problem, attempts)) = &parted.problem {
            self.show
                .note(&format!("problem: {problem} (attempt {attempts})"));
        }
        let ready: i64 = others
            .iter()
            .map(|cluster| parted.on(&cluster.id).applied)
            .sum();
        self.proofs.check(
            parted.state == ContextState::Instantiating,
            format!(
                "{} lost: {} of its {} objects Retrying, while the other clusters had all {ready} of theirs after {:.1} s",
                lost.id,
                parted.on(&lost.id).retrying,
                parted.on(&lost.id).total(),
                others_done.as_secs_f32()
            ),
        );

        self.show
            .command(&format!("muster-dev sandbox heal {}", lost.id));
        let healed = Instant::now();
        self.switch.heal(&lost.name).await?;
        let done = self.follow_to(ContextState::Instantiated).await?;
        self.proofs.check(
            done.all.all_applied(),
            format!(
                "{} found again: Instantiated {:.1} s after it was healed, {} of {} objects Applied",
                lost.id,
                healed.elapsed().as_secs_f32(),
                done.all.applied,
                done.all.total()
            ),
        );
        self.all_there(&context, &done).await
    }

    /// Compares what Muster says with what the clusters list and with their request logs.
    async fn all_there(&mut self, context: &str, view: &View) -> anyhow::Result<()> {
        let listed = self.list().await?;
        let mut parts = Vec::new();
        let mut held = true;
        for (cluster, found) in self.endpoints.clusters.iter().zip(&listed) {
            let log = self.switch.log(&cluster.name).await?;
            let manager = format!("muster-{context}");
            let ours = |found: &&Found| found.context.as_deref() == Some(context) && !found.owned;
            let there: BTreeSet<_> = found
                .iter()
                .filter(ours)
                .map(|found| {
                    (
                        found.kind.clone(),
                        found.namespace.clone(),
                        found.name.clone(),
                    )
                })
                .collect();
            let sent: BTreeSet<_> = log
                .iter()
                .filter(|entry| accepted(entry, &manager))
                .map(object)
                .collect();
            // Namespaces and CRDs that contexts share are counted by Muster but carry no context.
            let shared = found.iter().filter(|found| found.context.is_none()).count();
            let counted = usize::try_from(view.on(&cluster.id).applied).unwrap_or_default();
            held &= there.len() <= counted && counted <= there.len() + shared;
            held &= there == sent && !there.is_empty();
            parts.push(format!("{} {}", cluster.name, there.len()));
        }
        self.proofs.check(
            held,
            format!(
                "every object is there: listed by label ({}), each sent by one of our applies in the request logs",
                parts.join(", ")
            ),
        );
        Ok(())
    }

    /// Act: terminate what is complete.
    async fn end_of_first_life(&mut self) -> anyhow::Result<()> {
        self.show.act("Terminate");
        self.show.command(&format!(
            "muster terminate {}",
            self.application.reference()
        ));
        self.client.terminate().await?;
        let done = self.follow_to(ContextState::Terminated).await?;
        self.all_gone("first life: Terminated", done.all).await
    }

    /// Act: a second life, terminated while it is being instantiated.
    async fn terminated_in_the_middle(&mut self) -> anyhow::Result<()> {
        self.show
            .act("Instantiate again, and terminate in the middle of it");
        self.show.command(&format!(
            "muster-dev sandbox fault CLUSTER latency {DISTANCE_MS}   (all three)"
        ));
        for cluster in &self.endpoints.clusters {
            let fault = Fault::from(FaultKind::Latency { ms: DISTANCE_MS });
            self.switch.fault(&cluster.name, &fault).await?;
            self.switch.clear_log(&cluster.name).await?;
        }
        self.show.command(&format!(
            "muster instantiate {}",
            self.application.reference()
        ));
        let context = self.client.instantiate().await?.context_id;
        let middle = self.middle().await?;
        self.show.command(&format!(
            "muster terminate {}",
            self.application.reference()
        ));
        self.client.terminate().await?;
        let answered = Timestamp::now();
        let done = self.follow_to(ContextState::Terminated).await?;
        for cluster in &self.endpoints.clusters {
            self.switch.heal(&cluster.name).await?;
        }

        let events = self.client.events().await?;
        let transitions: Vec<&Event> = events
            .iter()
            .filter(|event| event.context_id == context && event.object.is_empty())
            .collect();
        self.show.note("from the operation log:");
        for event in &transitions {
            self.show.detail(&transition(event));
        }
        let passed = |from: &str, to: &str| {
            transitions
                .iter()
                .any(|event| event.from == from && event.to == to)
        };
        self.proofs.check(
            passed("Instantiating", "PreTerminate")
                && passed("PreTerminate", "Terminating")
                && passed("Terminating", "Terminated")
                && !passed("Instantiating", "Instantiated"),
            format!(
                "terminate with {} of {} objects Applied: Instantiating → PreTerminate → Terminating → Terminated, never Instantiated",
                middle.applied,
                middle.total()
            ),
        );

        let mut applies = 0;
        let mut last: Option<Duration> = None;
        for cluster in &self.endpoints.clusters {
            for entry in self.switch.log(&cluster.name).await? {
                if entry.verb != Verb::Apply {
                    continue;
                }
                applies += 1;
                if let Ok(after) = Duration::try_from(entry.time.duration_since(answered)) {
                    last = Some(last.map_or(after, |last| last.max(after)));
                }
            }
        }
        let when = match last {
            Some(last) => format!(
                "the last one {} ms after terminate was accepted",
                last.as_millis()
            ),
            None => "none after terminate was accepted".to_owned(),
        };
        self.proofs.check(
            applies > 0 && last.is_none_or(|last| last <= LAST_APPLY),
            format!(
                "{applies} applies in the clusters' request logs, {when} (at most 1 s is allowed)"
            ),
        );
        self.all_gone("second life: Terminated", done.all).await
    }

    /// Until something is there but not everything.
    async fn middle(&mut self) -> anyhow::Result<Counts> {
        let began = Instant::now();
        loop {
            let view = View::of(&self.client.status().await?);
            // Of very few objects there is no middle: begun is enough.
            let few = view.all.total() <= 3 && !self.applies().await?.is_empty();
            if view.all.applied * 4 >= view.all.total().max(1) || few {
                return Ok(view.all);
            }
            anyhow::ensure!(
                began.elapsed() < PATIENCE,
                "nothing was applied within {} s",
                PATIENCE.as_secs()
            );
            tokio::time::sleep(LOOK_CLOSELY).await;
        }
    }

    async fn applies(&self) -> anyhow::Result<Vec<LogEntry>> {
        let mut applies = Vec::new();
        for cluster in &self.endpoints.clusters {
            let log = self.switch.log(&cluster.name).await?;
            applies.extend(log.into_iter().filter(|entry| entry.verb == Verb::Apply));
        }
        Ok(applies)
    }

    /// Lists the clusters: none of our labels is left.
    async fn all_gone(&mut self, what: &str, counts: Counts) -> anyhow::Result<()> {
        let listed = self.list().await?;
        let left: Vec<String> = self
            .endpoints
            .clusters
            .iter()
            .zip(&listed)
            .flat_map(|(cluster, found)| {
                found.iter().map(move |found| {
                    format!(
                        "{} {}/{}/{}",
                        cluster.name, found.kind, found.namespace, found.name
                    )
                })
            })
            .collect();
        let told = if left.is_empty() {
            format!(
                "all kinds of {} clusters listed, nothing of ours is left",
                listed.len()
            )
        } else {
            format!("still there: {}", left.join(", "))
        };
        self.proofs.check(
            left.is_empty() && counts.deleted == counts.total() && counts.total() > 0,
            format!(
                "{what}, {} of {} objects Deleted; {told}",
                counts.deleted,
                counts.total()
            ),
        );
        Ok(())
    }

    async fn list(&self) -> anyhow::Result<Vec<BTreeSet<Found>>> {
        try_join_all(self.endpoints.clusters.iter().map(objects::list)).await
    }

    async fn follow_to(&mut self, state: ContextState) -> anyhow::Result<View> {
        self.follow(words(state), |view| view.state == state).await
    }

    /// Shows progress until the view is as wanted.
    async fn follow(
        &mut self,
        wanted: &str,
        reached: impl Fn(&View) -> bool,
    ) -> anyhow::Result<View> {
        let ids: Vec<String> = self
            .endpoints
            .clusters
            .iter()
            .map(|cluster| cluster.id.clone())
            .collect();
        let mut progress = self.show.progress(&ids);
        let began = Instant::now();
        loop {
            let view = View::of(&self.client.status().await?);
            if reached(&view) {
                progress.end(&view);
                return Ok(view);
            }
            progress.update(&view);
            let failed = matches!(
                view.state,
                ContextState::InstantiateFailed | ContextState::TerminateFailed
            );
            if failed || view.all.failed > 0 || began.elapsed() > PATIENCE {
                let why = view
                    .problem
                    .as_ref()
                    .map_or("no problem is reported", |(text, _)| text);
                progress.end(&view);
                anyhow::bail!(
                    "waiting until {wanted}, but it is {} with {:?}: {why}",
                    words(view.state),
                    view.all
                );
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
