//! Opened rows on their way through the slots of a step, and their closes on the way back.
//!
//! More rows may be open than there are slots: a slot takes one row after the other. No row is
//! begun once the send window is over, and closes are written while others are still sent.

use crate::{
    attempts::{Finish, Item, Job, Next, Turn},
    clusters::{
        clock::boot_time,
        gate::Window,
        pool::{Seats, Slot},
    },
};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use model::{failure::Certainty, ids::RowId, row::Row};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use store::{Close, Closed, StoreError};
use tokio::time::{Instant, sleep_until};

/// Closes wait so long for others to share their transaction …
const GATHER: Duration = Duration::from_millis(100);
/// … unless they are so many, or nothing else is on its way.
const ENOUGH: usize = 32;

/// A row that may be sent.
pub struct Opened<I> {
    pub item: I,
    pub row: Box<Row>,
    pub attempt: i64,
    pub late: Duration,
}

/// What became of a row.
pub struct Ended<I> {
    pub row: RowId,
    pub next: Next<I>,
    /// False: its turn did not come while the window was open, which is nobody's fault.
    pub tried: bool,
}

/// Works on every row and closes its attempt.
pub async fn run<I, W, F>(
    job: &Arc<Job>,
    window: Window,
    slots: Vec<Slot>,
    opened: Vec<Opened<I>>,
    work: &W,
) -> Result<Vec<Ended<I>>, StoreError>
where
    I: Item,
    W: Fn(Arc<Job>, Turn<I>) -> F,
    F: Future<Output = Finish<I>> + Send,
{
    let mut ended = Vec::with_capacity(opened.len());
    let mut waiting: VecDeque<Opened<I>> = opened.into();
    let mut first = slots.len();
    let mut seats = Seats::new(slots);
    let mut running = FuturesUnordered::new();
    let mut closes = Closes::new(job);
    loop {
        while !waiting.is_empty()
            && let Some(slot) = seats.take().or_else(|| job.link.spare())
            && let Some(next) = waiting.pop_front()
        {
            // What was opened together with the first ones to be sent is sent while it may be.
            if first == 0 && window.is_over() {
                ended.push(unsent(&mut closes, next));
                continue;
            }
            first = first.saturating_sub(1);
            let (attempt, row_id) = (next.attempt, next.row.id);
            let turn = Turn {
                item: next.item,
                row: next.row,
                window,
                late: next.late,
                slot,
            };
            let work = work(job.clone(), turn);
            running.push(async move { (attempt, row_id, work.await) });
        }
        if running.is_empty() {
            // Every slot lost its connection: what is left is opened again, over new ones.
            while let Some(next) = waiting.pop_front() {
                ended.push(unsent(&mut closes, next));
            }
            closes.finish().await?;
            return Ok(ended);
        }
        tokio::select! {
            biased;
            Some(finished) = running.next() => {
                let mut finished = Some(finished);
                while let Some((attempt, row, finish)) = finished {
                    let Finish { certainty, closed, uid, next } = finish;
                    closes.add(Close { attempt, row, certainty, result: closed, uid });
                    ended.push(Ended { row, next, tried: true });
                    finished = running.next().now_or_never().flatten();
                }
            }
            Some(slot) = seats.next(), if !waiting.is_empty() => seats.add(slot),
            written = closes.turn() => written?,
        }
    }
}

fn unsent<I: Item>(closes: &mut Closes, opened: Opened<I>) -> Ended<I> {
    let row = opened.row.id;
    closes.add(Close {
        attempt: opened.attempt,
        row,
        certainty: Certainty::NotSent,
        result: Closed::NotSent,
        uid: None,
    });
    Ended {
        row,
        next: Next::Reopen(opened.item),
        tried: false,
    }
}

impl Window {
    fn is_over(&self) -> bool {
        boot_time().saturating_sub(self.opened) >= self.length
    }
}

/// Closes on their way into the store, one call at a time.
struct Closes {
    job: Arc<Job>,
    gathered: Vec<Close>,
    since: Instant,
    writing: OptionFuture<BoxFuture<'static, Result<(), StoreError>>>,
}

impl Closes {
    fn new(job: &Arc<Job>) -> Self {
        Self {
            job: job.clone(),
            gathered: Vec::new(),
            since: Instant::now(),
            writing: None.into(),
        }
    }

    fn add(&mut self, close: Close) {
        if self.gathered.is_empty() {
            self.since = Instant::now();
        }
        self.gathered.push(close);
    }

    fn write(&mut self) {
        let closes = std::mem::take(&mut self.gathered);
        let job = self.job.clone();
        let write = async move {
            let step = &job.step;
            job.shared
                .store
                .close_attempts(&step.context, step.fence, closes)
                .await
        };
        self.writing = Some(write.boxed()).into();
    }

    /// Ends when something was written, or may be; never, while there is nothing to write.
    async fn turn(&mut self) -> Result<(), StoreError> {
        if let Some(written) = (&mut self.writing).await {
            self.writing = None.into();
            return written;
        }
        if self.gathered.is_empty() {
            return std::future::pending().await;
        }
        if self.gathered.len() < ENOUGH {
            sleep_until(self.since + GATHER).await;
        }
        self.write();
        Ok(())
    }

    async fn finish(mut self) -> Result<(), StoreError> {
        if let Some(written) = (&mut self.writing).await {
            written?;
        }
        if !self.gathered.is_empty() {
            self.write();
            if let Some(written) = (&mut self.writing).await {
                written?;
            }
        }
        Ok(())
    }
}
