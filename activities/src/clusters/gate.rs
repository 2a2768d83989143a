//! The innermost layer of a connection: it knows whether a byte of a request left, and lets none
//! leave after the send window (protocol §5.3).

use super::clock::boot_time;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// No request is armed: handshakes and shutdowns pass.
const OPEN: u8 = 0;
/// A request is armed and none of its bytes left.
const ARMED: u8 = 1;
/// At least one byte left.
const WRITTEN: u8 = 2;
/// The window had closed before the first byte: nothing left, nothing will.
const REFUSED: u8 = 3;

/// What a request on a connection may do and did.
#[derive(Debug)]
pub struct Gate {
    state: AtomicU8,
    /// Boot time in ns after which the first byte is refused.
    deadline: AtomicU64,
    /// Boot time in ns when the open began, 0 = not measured.
    opened: AtomicU64,
}

/// The send window of one attempt.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// Boot time when the open began.
    pub opened: Duration,
    /// How long after it the first byte may leave.
    pub length: Duration,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(OPEN),
            deadline: AtomicU64::new(u64::MAX),
            opened: AtomicU64::new(0),
        })
    }

    /// Prepares for one request. Without a window its first byte may leave at any time.
    pub fn arm(&self, window: Option<Window>) {
        let (opened, deadline) = window.map_or((0, u64::MAX), |w| {
            (nanos(w.opened), nanos(w.opened + w.length))
        });
        self.opened.store(opened, SeqCst);
        self.deadline.store(deadline, SeqCst);
        self.state.store(ARMED, SeqCst);
    }

    /// Whether a byte of the armed request left.
    pub fn written(&self) -> bool {
        self.state.load(SeqCst) == WRITTEN
    }

    /// Whether the armed request came too late.
    pub fn refused(&self) -> bool {
        self.state.load(SeqCst) == REFUSED
    }

    fn pass(&self) -> io::Result<()> {
        match self.state.load(SeqCst) {
            ARMED if nanos(boot_time()) > self.deadline.load(SeqCst) => {
                self.state.store(REFUSED, SeqCst);
                Err(io::Error::other("the send window has closed"))
            }
            REFUSED => Err(io::Error::other("the send window has closed")),
            _ => Ok(()),
        }
    }

    fn passed(&self) {
        if self
            .state
            .compare_exchange(ARMED, WRITTEN, SeqCst, SeqCst)
            .is_ok()
        {
            let opened = self.opened.load(SeqCst);
            if opened != 0 {
                let seconds =
                    Duration::from_nanos(nanos(boot_time()).saturating_sub(opened)).as_secs_f64();
                metrics::histogram!("muster_open_to_send_seconds").record(seconds);
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A stream behind a [`Gate`].
pub struct Gated<S> {
    stream: S,
    gate: Arc<Gate>,
}

impl<S> Gated<S> {
    pub fn new(stream: S, gate: Arc<Gate>) -> Self {
        Self { stream, gate }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The check and the write stand next to each other: what is checked is what leaves.
        if let Err(refused) = self.gate.pass() {
            return Poll::Ready(Err(refused));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(1..)) = written {
            self.gate.passed();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed test may panic
    use super::*;
    use tokio::io::AsyncWriteExt;

    async fn write(window: Option<Window>) -> (bool, bool, bool) {
        let gate = Gate::new();
        let mut stream = Gated::new(tokio::io::sink(), gate.clone());
        gate.arm(window);
        let ok = stream.write_all(b"GET / HTTP/1.1").await.is_ok();
        (ok, gate.written(), gate.refused())
    }

    #[tokio::test]
    async fn first_byte_leaves_within_the_window_only() {
        let now = boot_time();
        let length = Duration::from_millis(500);
        let cases = [
            ("no window", None, (true, true, false)),
            (
                "open",
                Some(Window {
                    opened: now,
                    length: Duration::from_secs(3_600),
                }),
                (true, true, false),
            ),
            (
                "closed",
                Some(Window {
                    opened: now.saturating_sub(length * 2),
                    length,
                }),
                (false, false, true),
            ),
        ];
        for (name, window, expected) in cases {
            assert_eq!(write(window).await, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn the_rest_of_a_request_follows_its_first_byte_whenever() {
        let gate = Gate::new();
        let mut stream = Gated::new(tokio::io::sink(), gate.clone());
        gate.arm(Some(Window {
            opened: boot_time(),
            length: Duration::from_secs(3_600),
        }));
        stream.write_all(b"P").await.unwrap();
        gate.deadline.store(0, SeqCst);
        stream.write_all(b"ATCH").await.unwrap();
        assert!(gate.written());
    }

    #[tokio::test]
    async fn a_refused_connection_stays_closed_until_it_is_armed_again() {
        let gate = Gate::new();
        let mut stream = Gated::new(tokio::io::sink(), gate.clone());
        gate.arm(Some(Window {
            opened: Duration::ZERO,
            length: Duration::ZERO,
        }));
        stream.write_all(b"P").await.unwrap_err();
        stream.write_all(b"P").await.unwrap_err();
        assert!(gate.refused() && !gate.written());
    }
}
