//! Answers without an end: a WATCH over a connection of its own, beyond the limits of requests.

use super::{
    answer::{NetError, Stage, root_cause},
    dial::{Connection, dial},
    link::Link,
};
use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::time::timeout;
use workflows::limits::CONNECT_TIMEOUT;

/// The answer's head comes within this time; its lines whenever they come.
const HEAD: Duration = Duration::from_secs(10);
/// No line (one object) is longer.
const LINE: usize = 16 << 20;

/// An answer, line by line. Its connection closes with it.
pub struct Lines {
    pub code: u16,
    body: Incoming,
    read: BytesMut,
    _connection: Connection,
}

impl Link {
    /// Sends a request and answers as soon as the head of the answer is there.
    pub async fn lines(&self, request: Request<Vec<u8>>) -> Result<Lines, NetError> {
        let request = self.complete(request).await?;
        let mut connection = dial(self.target(), CONNECT_TIMEOUT).await?;
        connection.gate.arm(None);
        let head = timeout(HEAD, connection.sender.send_request(request)).await;
        let response = match head {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(NetError::new(Stage::Reset, root_cause(&error))),
            Err(_) => {
                let cause = format!("no answer within {} s", HEAD.as_secs());
                return Err(NetError::new(Stage::Timeout, cause));
            }
        };
        self.beat();
        Ok(Lines {
            code: response.status().as_u16(),
            body: response.into_body(),
            read: BytesMut::new(),
            _connection: connection,
        })
    }
}

impl Lines {
    /// The next line; `None` at the end of the answer.
    pub async fn next(&mut self) -> Result<Option<Bytes>, NetError> {
        let mut looked = 0;
        loop {
            if let Some(at) = self.read[looked..].iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(looked + at + 1).freeze();
                if line.iter().all(u8::is_ascii_whitespace) {
                    looked = 0;
                    continue;
                }
                return Ok(Some(line));
            }
            looked = self.read.len();
            if looked > LINE {
                return Err(NetError::new(Stage::Reset, "a line without an end"));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    return Err(NetError::new(Stage::Reset, root_cause(&error)));
                }
                None if self.read.is_empty() => return Ok(None),
                // Half a line is no line; the stream is taken up again where it was.
                None => {
                    self.read.clear();
                    return Ok(None);
                }
            }
        }
    }
}
