//! The watch of one DIG's status as a queue of messages, through broken connections.

use crate::session::{self, Connection};
use proto::v1::{
    WatchStatusRequest, WatchStatusResponse, lifecycle_service_client::LifecycleServiceClient,
};
use std::time::Duration;
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tonic::{Code, Status};

/// How long a server may be away before the watch ends.
pub const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// What the watch has to say.
#[derive(Debug)]
pub enum News {
    Message(Box<WatchStatusResponse>),
    /// The connection is lost and being sought again; why.
    Lost(Status),
    /// The end: the server refuses, or stays away.
    Over(Status),
}

/// A running watch; dropping it ends it.
pub struct Feed {
    news: mpsc::Receiver<News>,
    task: JoinHandle<()>,
}

impl Feed {
    pub fn start(client: LifecycleServiceClient<Connection>, request: WatchStatusRequest) -> Self {
        let (sender, news) = mpsc::channel(16);
        Self {
            news,
            task: tokio::spawn(watch(client, request, sender)),
        }
    }

    pub async fn next(&mut self) -> News {
        self.news
            .recv()
            .await
            .unwrap_or_else(|| News::Over(Status::new(Code::Cancelled, "the watch ended")))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(
    mut client: LifecycleServiceClient<Connection>,
    mut request: WatchStatusRequest,
    sender: mpsc::Sender<News>,
) {
    let mut heard = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let status = match client.watch_status(request.clone()).await {
            Err(status) => status,
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            heard = Instant::now();
                            pause = FIRST_PAUSE;
                            // Only a complete picture carries one.
                            if !message.resume_token.is_empty() {
                                request.resume_token.clone_from(&message.resume_token);
                            }
                            if sender.send(News::Message(Box::new(message))).await.is_err() {
                                return;
                            }
                        }
                        Ok(None) => break Status::unavailable("the server closed the watch"),
                        Err(status) => break status,
                    }
                }
            }
        };
        if !session::broken(&status) || heard.elapsed() > PATIENCE {
            let _ = sender.send(News::Over(status)).await;
            return;
        }
        if sender.send(News::Lost(status)).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
