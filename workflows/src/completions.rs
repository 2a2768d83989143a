//! A set of futures whose outputs come as they complete, safe under the SDK's detector of
//! non-deterministic futures.
//!
//! `FuturesUnordered` wakes itself while it is being polled, which the detector takes for a waker
//! called from outside. The private waker here turns such a wake into another turn of the loop.

use futures_util::{Stream, stream::FuturesUnordered};
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

#[derive(Default)]
struct Relay {
    polling: AtomicBool,
    again: AtomicBool,
    parent: Mutex<Option<Waker>>,
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.polling.load(Ordering::Acquire) {
            self.again.store(true, Ordering::Release);
        } else if let Some(parent) = self
            .parent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
        {
            parent.wake();
        }
    }
}

pub struct Completions<F> {
    inner: FuturesUnordered<F>,
    relay: Arc<Relay>,
}

impl<F: Future> Default for Completions<F> {
    fn default() -> Self {
        Self {
            inner: FuturesUnordered::new(),
            relay: Arc::default(),
        }
    }
}

impl<F: Future> Completions<F> {
    pub fn push(&self, future: F) {
        self.inner.push(future);
    }
}

impl<F: Future> Stream for Completions<F> {
    type Item = F::Output;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        *self
            .relay
            .parent
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        let relay = self.relay.clone();
        let waker = Waker::from(relay.clone());
        let mut cx = Context::from_waker(&waker);
        relay.polling.store(true, Ordering::Release);
        let out = loop {
            relay.again.store(false, Ordering::Release);
            match Pin::new(&mut self.inner).poll_next(&mut cx) {
                Poll::Pending if relay.again.load(Ordering::Acquire) => {}
                ready => break ready,
            }
        };
        relay.polling.store(false, Ordering::Release);
        out
    }
}
