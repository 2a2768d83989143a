//! Slots: connections that are up before an attempt is opened, so that neither dial nor TLS eats
//! the send window (protocol §5.0), and the limit of requests in flight per cluster.

use super::{
    answer::{Answer, NetError, Stage, retry_after, root_cause},
    dial::{Connection, Target, dial},
    gate::Window,
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};

/// An idle connection is closed after so long: shorter than what servers and NATs allow.
const IDLE: Duration = Duration::from_secs(60);
/// No answer of a cluster is larger; lists are paged.
const ANSWER_LIMIT: usize = 64 << 20;

/// The connections of one cluster.
pub struct Pool {
    target: Target,
    idle: Mutex<Vec<Connection>>,
    slots: Arc<Semaphore>,
}

/// The right to have one request in flight, with a connection that is up.
pub struct Slot {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// `slots` permits; a request takes one or more of them ([`Pool::slot`]'s weight).
    pub fn new(target: Target, slots: usize) -> Arc<Self> {
        Arc::new(Self {
            target,
            idle: Mutex::new(Vec::new()),
            slots: Arc::new(Semaphore::new(slots)),
        })
    }

    /// Waits for a slot, then for a connection that is up.
    pub async fn slot(self: &Arc<Self>, weight: u32, within: Duration) -> Result<Slot, NetError> {
        let permit = self
            .slots
            .clone()
            .acquire_many_owned(weight)
            .await
            .map_err(|_| NetError::new(Stage::Connect, "the connection pool is closed"))?;
        self.fill(permit, within).await
    }

    /// A slot if one is free now.
    pub async fn try_slot(
        self: &Arc<Self>,
        weight: u32,
        within: Duration,
    ) -> Option<Result<Slot, NetError>> {
        let permit = self.slots.clone().try_acquire_many_owned(weight).ok()?;
        Some(self.fill(permit, within).await)
    }

    async fn fill(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        within: Duration,
    ) -> Result<Slot, NetError> {
        let connection = self.connection(within).await?;
        Ok(Slot {
            connection: Some(connection),
            pool: self.clone(),
            _permit: permit,
        })
    }

    async fn connection(&self, within: Duration) -> Result<Connection, NetError> {
        loop {
            let Some(mut connection) = self.idle().pop() else {
                return dial(&self.target, within).await;
            };
            // A connection that was just put back may still have to take note of its answer's end.
            let ready = timeout(Duration::from_millis(100), connection.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) && connection.idle_since.elapsed() < IDLE {
                return Ok(connection);
            }
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes connections that were idle for long; called now and then.
    pub fn reap(&self) {
        self.idle()
            .retain(|c| c.idle_since.elapsed() < IDLE && !c.sender.is_closed());
    }
}

impl Slot {
    /// Sends one request and reads the whole answer. Without an answer the error says whether a
    /// byte left; the connection is then closed.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        window: Option<Window>,
        within: Duration,
    ) -> Result<Answer, NetError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.pool.connection(within).await?,
        };
        // Slots are reused for a second request (GET, then DELETE).
        if !connection.sender.is_ready() && connection.sender.ready().await.is_err() {
            connection = dial(&self.pool.target, within).await?;
        }
        let gate = connection.gate.clone();
        gate.arm(window);
        let exchange = async {
            let response = connection
                .sender
                .send_request(request)
                .await
                .map_err(|e| root_cause(&e))?;
            let code = response.status().as_u16();
            let retry_after = retry_after(response.headers());
            let body = Limited::new(response.into_body(), ANSWER_LIMIT)
                .collect()
                .await
                .map_err(|e| root_cause(e.as_ref()))?
                .to_bytes();
            Ok::<_, String>(Answer {
                code,
                retry_after,
                body,
            })
        };
        let seconds = within.as_secs_f64();
        let error = match timeout(within, exchange).await {
            Ok(Ok(answer)) => {
                connection.idle_since = Instant::now();
                self.connection = Some(connection);
                return Ok(answer);
            }
            _ if gate.refused() => NetError::new(
                Stage::Window,
                "the send window closed before the request left",
            ),
            Ok(Err(cause)) if gate.written() => NetError::new(
                Stage::Reset,
                format!("connection lost before the answer came: {cause}"),
            ),
            Ok(Err(cause)) => NetError::new(Stage::Write, cause),
            Err(_) if gate.written() => {
                NetError::new(Stage::Timeout, format!("no answer within {seconds} s"))
            }
            Err(_) => NetError::new(
                Stage::Write,
                format!("could not be sent within {seconds} s"),
            ),
        };
        Err(error)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take()
            && !connection.sender.is_closed()
        {
            self.pool.idle().push(connection);
        }
    }
}

#[cfg(test)]
mod tests;
