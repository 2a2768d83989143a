//! The one task of a process that writes opens and closes: what is queued while a transaction
//! commits goes into the next one together.

use crate::{
    Close, Opened, Result, Store, StoreConfig, StoreError, attempts,
    sql::{self, WriteDb, args},
};
use model::{
    ids::{ContextId, Fence, RowId},
    state::Goal,
};
use tokio::sync::{mpsc, oneshot};

/// Operations that may wait; further callers wait for room.
const QUEUE: usize = 4_096;
/// Operations and rows of one transaction.
const OPS: usize = 512;
const ROWS: usize = 1_024;
/// Expired attempts are removed every so many transactions, so long after they ended.
const SWEEP_EVERY: u64 = 2_000;
const SWEEP_AFTER_MS: i64 = 600_000;

/// Open attempts for rows of a context.
pub(crate) struct Open {
    pub context: ContextId,
    pub fence: Fence,
    pub kind: Goal,
    pub rows: Vec<RowId>,
    pub request_timeout_ms: i64,
}

/// Close attempts of a context.
pub(crate) struct Closing {
    pub context: ContextId,
    pub closes: Vec<Close>,
}

pub(crate) enum Op {
    Open(Open, oneshot::Sender<Result<Vec<Opened>>>),
    Close(Closing, oneshot::Sender<Result<()>>),
}

impl Op {
    fn rows(&self) -> usize {
        match self {
            Self::Open(open, _) => open.rows.len(),
            Self::Close(close, _) => close.closes.len(),
        }
    }

    /// Nobody waits for the answer of this open any more: nothing would be sent.
    fn abandoned(&self) -> bool {
        matches!(self, Self::Open(_, answer) if answer.is_closed())
    }
}

pub(crate) fn channel() -> (mpsc::Sender<Op>, mpsc::Receiver<Op>) {
    mpsc::channel(QUEUE)
}

pub(crate) fn spawn(db: WriteDb, config: StoreConfig, ops: mpsc::Receiver<Op>) {
    tokio::spawn(write(db, config, ops));
}

async fn write(db: WriteDb, config: StoreConfig, mut ops: mpsc::Receiver<Op>) {
    let mut turn = 0_u64;
    let mut queued = Vec::new();
    while ops.recv_many(&mut queued, OPS).await > 0 {
        let mut rest = std::mem::take(&mut queued);
        while !rest.is_empty() {
            let mut rows = 0;
            let fitting = rest
                .iter()
                .take_while(|op| {
                    rows += op.rows();
                    rows <= ROWS
                })
                .count();
            let tail = rest.split_off(fitting.max(1));
            commit(&db, &config, std::mem::replace(&mut rest, tail)).await;
            turn += 1;
            if turn.is_multiple_of(SWEEP_EVERY)
                && let Err(error) = sweep(&db).await
            {
                tracing::warn!(%error, "sweep of expired attempts");
            }
        }
    }
}

/// One transaction for all of them, then their answers.
async fn commit(db: &WriteDb, config: &StoreConfig, mut ops: Vec<Op>) {
    ops.retain(|op| !op.abandoned());
    let mut opens = Vec::new();
    let mut closes = Vec::new();
    let (mut opened, mut closed) = (Vec::new(), Vec::new());
    for op in ops {
        match op {
            Op::Open(open, answer) => {
                opens.push(open);
                opened.push(answer);
            }
            Op::Close(close, answer) => {
                closes.push(close);
                closed.push(answer);
            }
        }
    }
    let mut tries = sql::Tries::default();
    let outcome = loop {
        let outcome = match sql::begin(db).await {
            Ok(tx) => {
                let result = attempts::perform(&tx, config, &opens, &closes).await;
                sql::finish(db, tx, result).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Err(error) if tries.again(&error).await => {}
            outcome => break outcome,
        }
    };
    // A receiver that is gone has been cancelled; its attempt expires by itself.
    match outcome {
        Ok(answers) => {
            for (answer, to) in answers.into_iter().zip(opened) {
                let _ = to.send(Ok(answer));
            }
            for to in closed {
                let _ = to.send(Ok(()));
            }
        }
        Err(error) => {
            let error = error.to_string();
            let again = || StoreError::Db(error.clone().into());
            for to in opened {
                let _ = to.send(Err(again()));
            }
            for to in closed {
                let _ = to.send(Err(again()));
            }
        }
    }
}

async fn sweep(db: &WriteDb) -> Result<()> {
    let sql = "DELETE FROM attempt WHERE effect_until < now_ms() - $1";
    let tx = sql::begin(db).await?;
    let swept = sql::run(&tx, sql, args![SWEEP_AFTER_MS]).await.map(|_| ());
    sql::finish(db, tx, swept).await
}

impl Store {
    /// Grouped with the opens of others in one transaction by the writer task. Answers per row, in
    /// order. An unknown commit is an error: do not send.
    pub async fn open_attempts(
        &self,
        context: &ContextId,
        fence: Fence,
        kind: Goal,
        rows: &[RowId],
        request_timeout_ms: u64,
    ) -> Result<Vec<Opened>> {
        let (answer, answered) = oneshot::channel();
        let open = Open {
            context: context.clone(),
            fence,
            kind,
            rows: rows.to_vec(),
            request_timeout_ms: i64::try_from(request_timeout_ms).unwrap_or(i64::MAX / 4),
        };
        self.queue(Op::Open(open, answer)).await?;
        answered.await.map_err(|_| stopped())?
    }

    /// Closes attempts with their outcomes; grouped likewise. A close of an attempt that was
    /// closed before records the uid and changes nothing else. The fence is not compared: what
    /// happened has happened.
    pub async fn close_attempts(
        &self,
        context: &ContextId,
        _fence: Fence,
        closes: Vec<Close>,
    ) -> Result<()> {
        if closes.is_empty() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        let close = Closing {
            context: context.clone(),
            closes,
        };
        self.queue(Op::Close(close, answer)).await?;
        answered.await.map_err(|_| stopped())?
    }

    async fn queue(&self, op: Op) -> Result<()> {
        let sent = self.shared.writer.send(op).await;
        sent.map_err(|_| stopped())
    }
}

fn stopped() -> StoreError {
    StoreError::Db("the writer of attempts has stopped".into())
}
