//! The connection pool, against a server in this process.
#![allow(clippy::unwrap_used)] // a failed test may panic

use super::*;
use crate::clusters::clock::boot_time;
use model::failure::Certainty;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const WITHIN: Duration = Duration::from_secs(60);

/// What the server does with a request once it has read its head.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Answer,
    AnswerAndClose,
    Hang,
    Reset,
    /// Answers the head, then closes in the middle of the body.
    Cut,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

async fn server(manner: Manner) -> (Arc<Pool>, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let counted = seen.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.connections.fetch_add(1, SeqCst);
            tokio::spawn(serve(stream, manner, counted.clone()));
        }
    });
    let uri = format!("http://{address}").parse().unwrap();
    (
        Pool::new(
            Target {
                uri,
                proxy: None,
                tls: None,
            },
            2,
        ),
        seen,
    )
}

async fn serve(mut stream: TcpStream, manner: Manner, seen: Arc<Seen>) {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        head.clear();
        seen.requests.fetch_add(1, SeqCst);
        let answer: &[u8] = match manner {
            Manner::Answer => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nretry-after: 7\r\n\r\nok",
            Manner::AnswerAndClose => {
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
            }
            Manner::Cut => b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\nok",
            Manner::Reset => return,
            Manner::Hang => std::future::pending().await,
        };
        stream.write_all(answer).await.unwrap();
        if matches!(manner, Manner::Cut | Manner::AnswerAndClose) {
            return;
        }
    }
}

fn request() -> Request<Full<Bytes>> {
    Request::get("/version")
        .header("host", "test")
        .body(Full::default())
        .unwrap()
}

fn open_window() -> Option<Window> {
    Some(Window {
        opened: boot_time(),
        length: Duration::from_secs(3_600),
    })
}

#[tokio::test]
async fn connections_are_used_again() {
    let (pool, seen) = server(Manner::Answer).await;
    for _ in 0..3 {
        let mut slot = pool.slot(1, WITHIN).await.unwrap();
        for _ in 0..2 {
            let answer = slot.send(request(), open_window(), WITHIN).await.unwrap();
            assert_eq!((answer.code, answer.body.as_ref()), (200, b"ok".as_ref()));
            assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
        }
    }
    assert_eq!(
        (seen.connections.load(SeqCst), seen.requests.load(SeqCst)),
        (1, 6)
    );
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_used_again() {
    let (pool, seen) = server(Manner::AnswerAndClose).await;
    for _ in 0..3 {
        let mut slot = pool.slot(1, WITHIN).await.unwrap();
        assert!(
            slot.send(request(), open_window(), WITHIN)
                .await
                .unwrap()
                .ok()
        );
    }
    assert_eq!(seen.connections.load(SeqCst), 3);
}

#[tokio::test]
async fn a_lost_answer_is_ambiguous() {
    for manner in [Manner::Reset, Manner::Cut] {
        let (pool, _) = server(manner).await;
        let mut slot = pool.slot(1, WITHIN).await.unwrap();
        let error = slot
            .send(request(), open_window(), WITHIN)
            .await
            .unwrap_err();
        assert_eq!(
            (error.stage, error.certainty()),
            (Stage::Reset, Certainty::Ambiguous),
            "{error}"
        );
    }
}

#[tokio::test]
async fn no_answer_in_time_is_ambiguous() {
    let (pool, seen) = server(Manner::Hang).await;
    let mut slot = pool.slot(1, WITHIN).await.unwrap();
    let error = slot
        .send(request(), open_window(), Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(seen.requests.load(SeqCst), 1);
    assert_eq!(
        (error.stage, error.certainty()),
        (Stage::Timeout, Certainty::Ambiguous),
        "{error}"
    );
    assert_eq!(error.failure().code, "timeout");
}

#[tokio::test]
async fn nothing_leaves_after_the_window() {
    let (pool, seen) = server(Manner::Answer).await;
    let mut slot = pool.slot(1, WITHIN).await.unwrap();
    let closed = Window {
        opened: boot_time().saturating_sub(Duration::from_secs(1)),
        length: Duration::from_millis(500),
    };
    let error = slot
        .send(request(), Some(closed), WITHIN)
        .await
        .unwrap_err();
    assert_eq!(
        (error.stage, error.certainty()),
        (Stage::Window, Certainty::NotSent)
    );
    // The slot goes on with a fresh connection, and only what is sent over that arrives.
    assert!(
        slot.send(request(), open_window(), WITHIN)
            .await
            .unwrap()
            .ok()
    );
    assert_eq!(
        (seen.connections.load(SeqCst), seen.requests.load(SeqCst)),
        (2, 1)
    );
}

#[tokio::test]
async fn a_refused_connection_is_known_before_anything_is_opened() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(listener);
    let pool = Pool::new(
        Target {
            uri,
            proxy: None,
            tls: None,
        },
        1,
    );
    let Err(error) = pool.slot(1, WITHIN).await else {
        panic!("nobody listens")
    };
    assert_eq!(
        (error.stage, error.certainty()),
        (Stage::Connect, Certainty::NotSent)
    );
    assert_eq!(error.failure().code, "unreachable");
}

#[tokio::test]
async fn slots_are_limited_and_come_back() {
    let (pool, seen) = server(Manner::Answer).await;
    let first = pool.slots(1, 1, WITHIN).await.unwrap();
    let second = pool.slots(5, 1, WITHIN).await.unwrap();
    assert_eq!((first.len(), second.len()), (1, 1));
    drop((first, second));
    assert_eq!(pool.slots(5, 1, WITHIN).await.unwrap().len(), 2);
    assert_eq!(seen.connections.load(SeqCst), 2);
}

#[tokio::test]
async fn a_hello_needs_neither_a_slot_nor_an_idle_connection() {
    let (pool, seen) = server(Manner::Answer).await;
    let all = pool.slots(2, 1, WITHIN).await.unwrap();
    assert!(pool.fresh(request(), WITHIN).await.unwrap().ok());
    assert_eq!(seen.connections.load(SeqCst), 3);
    drop(all);
}

#[tokio::test]
async fn a_slot_of_a_batch_comes_back_to_it_while_its_connection_is_up() {
    let (pool, _) = server(Manner::Answer).await;
    let mut seats = Seats::new(pool.slots(2, 1, WITHIN).await.unwrap());
    let mut first = seats.take().unwrap();
    let second = seats.take().unwrap();
    assert!(seats.take().is_none() && pool.spare(1).is_none());
    assert!(first.send(request(), None, WITHIN).await.unwrap().ok());
    drop(first);
    let mut first = seats.next().await.unwrap();
    let closed = Some(Window {
        opened: Duration::ZERO,
        length: Duration::ZERO,
    });
    first.send(request(), closed, WITHIN).await.unwrap_err();
    // Its connection is gone: it frees its place for whoever dials next.
    drop(first);
    assert!(seats.take().is_none());
    assert_eq!(pool.slots(2, 1, WITHIN).await.unwrap().len(), 1);
    // A batch that ended gives back what it had.
    drop(seats);
    drop(second);
    assert_eq!(pool.slots(2, 1, WITHIN).await.unwrap().len(), 2);
}
