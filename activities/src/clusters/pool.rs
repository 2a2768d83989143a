//! Slots: connections that are up before an attempt is opened, so that neither dial nor TLS eats
//! the send window (protocol §5.0), and the limit of requests in flight per cluster.

use super::{
    answer::{Answer, NetError, Stage, retry_after, root_cause},
    dial::{Connection, Target, dial},
    gate::Window,
};
use bytes::Bytes;
use futures::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Full, Limited};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout},
};

/// An idle connection is closed after so long: shorter than what servers and NATs allow.
const IDLE: Duration = Duration::from_secs(60);
/// A slot that is not free within this time is given up: hung requests in all of them must not
/// hold whoever comes next for as long.
const SATURATED: Duration = Duration::from_secs(4);
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
    /// `None` only while it is dropped.
    seat: Option<Seat>,
    home: Option<mpsc::UnboundedSender<Seat>>,
}

/// What a slot is made of; goes back to the pool when it is dropped.
struct Seat {
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// Slots that serve one row after the other: a slot taken here comes back here when it is dropped,
/// for as long as its connection is up.
pub struct Seats {
    home: mpsc::UnboundedSender<Seat>,
    free: mpsc::UnboundedReceiver<Seat>,
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

    /// Where the connections go, for one that is none of the pool's.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Waits for a slot, then for a connection that is up.
    pub async fn slot(self: &Arc<Self>, weight: u32, within: Duration) -> Result<Slot, NetError> {
        let permit = self.permit(weight).await?;
        self.fill(permit, within).await
    }

    /// Waits for one slot, then takes what else is free, `wanted` at most. Connections that are
    /// missing are dialled side by side; one that comes up is enough.
    pub async fn slots(
        self: &Arc<Self>,
        wanted: usize,
        weight: u32,
        within: Duration,
    ) -> Result<Vec<Slot>, NetError> {
        let mut permits = vec![self.permit(weight).await?];
        while permits.len() < wanted
            && let Ok(permit) = self.slots.clone().try_acquire_many_owned(weight)
        {
            permits.push(permit);
        }
        let filled = permits.into_iter().map(|permit| self.fill(permit, within));
        let mut refused = None;
        let mut slots = Vec::with_capacity(wanted);
        for slot in join_all(filled).await {
            match slot {
                Ok(slot) => slots.push(slot),
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if slots.is_empty() => Err(error),
            _ => Ok(slots),
        }
    }

    /// A slot, if one is free with a connection that is up.
    pub fn spare(self: &Arc<Self>, weight: u32) -> Option<Slot> {
        let permit = self.slots.clone().try_acquire_many_owned(weight).ok()?;
        let connection = self.idle().pop()?;
        if connection.idle_since.elapsed() >= IDLE || connection.sender.is_closed() {
            return None;
        }
        Some(Slot::new(connection, self.clone(), permit))
    }

    async fn permit(&self, weight: u32) -> Result<OwnedSemaphorePermit, NetError> {
        let permit = self.slots.clone().acquire_many_owned(weight);
        match timeout(SATURATED, permit).await {
            Ok(permit) => permit.map_err(|_| NetError::new(Stage::Connect, "the pool is closed")),
            Err(_) => Err(NetError::new(Stage::Connect, "every connection is busy")),
        }
    }

    /// One request over a connection of its own, dial included in the time: whether the cluster
    /// answers now, whatever state the idle connections are in. Takes no slot, since it is asked
    /// when requests hang in all of them.
    pub async fn fresh(
        self: &Arc<Self>,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Answer, NetError> {
        let began = Instant::now();
        let mut connection = dial(&self.target, within).await?;
        let left = within.saturating_sub(began.elapsed());
        let answer = exchange(&mut connection, request, None, left).await?;
        self.give_back(connection);
        Ok(answer)
    }

    /// Closes idle connections: one of them was lost, the others may hang.
    pub fn clear(&self) {
        self.idle().clear();
    }

    fn give_back(&self, mut connection: Connection) {
        if !connection.sender.is_closed() {
            connection.idle_since = Instant::now();
            self.idle().push(connection);
        }
    }

    async fn fill(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        within: Duration,
    ) -> Result<Slot, NetError> {
        let connection = self.connection(within).await?;
        Ok(Slot::new(connection, self.clone(), permit))
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

impl Seats {
    pub fn new(slots: Vec<Slot>) -> Self {
        let (home, free) = mpsc::unbounded_channel();
        let seats = Self { home, free };
        slots.into_iter().for_each(|slot| seats.add(slot));
        seats
    }

    pub fn add(&self, mut slot: Slot) {
        if let Some(seat) = slot.seat.take() {
            let _ = self.home.send(seat);
        }
    }

    /// A slot that is free now.
    pub fn take(&mut self) -> Option<Slot> {
        let seat = self.free.try_recv().ok()?;
        Some(self.slot(seat))
    }

    /// The next slot to become free. Never, when all of them lost their connections.
    pub async fn next(&mut self) -> Option<Slot> {
        let seat = self.free.recv().await?;
        Some(self.slot(seat))
    }

    fn slot(&self, seat: Seat) -> Slot {
        Slot {
            seat: Some(seat),
            home: Some(self.home.clone()),
        }
    }
}

impl Slot {
    fn new(connection: Connection, pool: Arc<Pool>, permit: OwnedSemaphorePermit) -> Self {
        Self {
            seat: Some(Seat {
                connection: Some(connection),
                pool,
                _permit: permit,
            }),
            home: None,
        }
    }

    /// Sends one request and reads the whole answer. Without an answer the error says whether a
    /// byte left; the connection is then closed.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        window: Option<Window>,
        within: Duration,
    ) -> Result<Answer, NetError> {
        let Some(seat) = &mut self.seat else {
            return Err(NetError::new(Stage::Connect, "the slot was given back"));
        };
        let mut connection = match seat.connection.take() {
            Some(connection) => connection,
            None => seat.pool.connection(within).await?,
        };
        // Slots are reused for a second request (GET, then DELETE) and for the next row.
        if !connection.sender.is_ready() && connection.sender.ready().await.is_err() {
            connection = dial(&seat.pool.target, within).await?;
        }
        let answer = exchange(&mut connection, request, window, within).await?;
        seat.connection = Some(connection);
        Ok(answer)
    }
}

/// One request and its whole answer over a connection.
async fn exchange(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    window: Option<Window>,
    within: Duration,
) -> Result<Answer, NetError> {
    let gate = connection.gate.clone();
    gate.arm(window);
    let whole = async {
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
    let result = timeout(within, whole).await;
    let seconds = within.as_secs_f64();
    Err(match result {
        Ok(Ok(answer)) => return Ok(answer),
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
    })
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let (Some(seat), Some(home)) = (self.seat.take(), &self.home)
            && seat.is_up()
        {
            let _ = home.send(seat);
        }
    }
}

impl Seat {
    fn is_up(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| !connection.sender.is_closed())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection);
        }
    }
}

#[cfg(test)]
mod tests;
