//! What the suites across crates share: a whole stack in one process, real control planes, a
//! client, an inventory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod api_only;
pub mod client;
pub mod clusters;
pub mod control_plane;
pub mod documents;
pub mod dump;
pub mod figures;
pub mod histories;
pub mod logs;
pub mod marks;
pub mod muster;
pub mod plain;
pub mod proxy;
pub mod sockets;
pub mod stack;

pub use client::Dig;
pub use stack::{At, Stack};

use std::{future::Future, net::SocketAddr, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// As in the programs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Longest wait for a condition: generous, a broken promise shows as a wait that ends here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Looks at `what` until it is `Some`.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    until_or_say(what, String::new, look).await
}

/// … and says at the end of its patience what it saw instead.
pub async fn until_or_say<T, F: Future<Output = Option<T>>>(
    what: &str,
    saw: impl Fn() -> String,
    mut look: impl FnMut() -> F,
) -> T {
    let ends = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < ends,
            "not within {PATIENCE:?}: {what}\n{}",
            saw()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a process says at `/metrics`, headers included.
pub async fn metrics(address: SocketAddr) -> Vec<u8> {
    ask(address, "GET", "/metrics", "").await
}

/// One request without a client; the answer with its headers.
pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Vec<u8> {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}
