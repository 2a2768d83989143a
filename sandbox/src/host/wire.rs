//! The socket under a connection: swallows what is written while the cluster is a black hole, and can end in a reset.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// What the requests and the task of one connection share.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Something could not be written because of the black hole.
    stuck: AtomicBool,
    reset: AtomicBool,
    cut: Notify,
}

impl Line {
    /// Ends the connection, by TCP RST or by an ordinary close.
    pub fn cut(&self, reset: bool) {
        if reset {
            self.reset.store(true, Ordering::Release);
        }
        self.cut.notify_one();
    }

    /// Waits until somebody cuts the connection.
    pub async fn until_cut(&self) {
        self.cut.notified().await;
    }

    /// Whether an answer got stuck in the black hole.
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Acquire)
    }

    /// Lets the socket end by TCP RST, whoever closes it.
    pub fn end_in_reset(&self) {
        self.reset.store(true, Ordering::Release);
    }
}

/// A socket behind the switch.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: TcpStream,
    hole: Arc<AtomicBool>,
    line: Arc<Line>,
}

impl Wire {
    pub fn new(socket: TcpStream, hole: Arc<AtomicBool>, line: Arc<Line>) -> Self {
        Self { socket, hole, line }
    }

    /// Pending while the cluster is a black hole. Nothing wakes the writer: a heal drops the connection.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stuck = self.line.is_stuck();
        if !stuck && !self.hole.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.line.stuck.store(true, Ordering::Release);
        // A client that gives up must not leave its socket here until the heal.
        let mut byte = [std::mem::MaybeUninit::uninit()];
        let mut peeked = ReadBuf::uninit(&mut byte);
        match ready!(self.socket.poll_peek(cx, &mut peeked)) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Ok(_) => Poll::Pending,
            Err(lost) => Poll::Ready(Err(lost)),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.reset.load(Ordering::Acquire) {
            // Best effort: without it the client sees an ordinary close, which is abrupt enough.
            let _ = self.socket.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?;
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
