//! One kind on one cluster: LIST, then WATCH from there, again whenever that ends.

use super::{
    board::{Kind, Name, Object},
    pulse::Beat,
};
use crate::{
    clusters::{answer::Answer, discovery::NoApi, hello::NotReady, link::Link, stream::Lines},
    request::{self, Api},
    shared::Shared,
};
use model::{ids::ClusterId, manifest::INSTALLATION_LABEL};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

/// Pauses after trouble: first and longest.
const PAUSE: Duration = Duration::from_millis(200);
/// A server that ends every watch at once is not asked without a break.
const SOON: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A kind that the cluster does not serve is looked for so often: its CRD may be on its way.
const UNSERVED: Duration = Duration::from_millis(500);
const WITHIN: Duration = Duration::from_secs(10);

/// What a stream tells the board.
#[derive(Debug)]
pub enum News {
    /// From here on it knows everything of its kind.
    Up(Kind),
    Down(Kind),
    Listed(Kind, Vec<Object>),
    Seen(Kind, Object),
    Gone(Kind, Name),
}

pub struct Stream {
    pub shared: Arc<Shared>,
    pub cluster: ClusterId,
    pub kind: Kind,
    pub version: String,
    pub installation: String,
    pub beats: watch::Receiver<Beat>,
    pub tell: mpsc::Sender<News>,
}

/// How a look at the cluster ended.
enum End {
    /// In order: goes on where it was.
    Over,
    /// The version is too old: everything is listed again.
    Expired,
    /// No answer, or no good one.
    Trouble(String),
    Unserved,
    /// Nobody listens any more.
    Closed,
}

impl Stream {
    /// Runs until it is aborted.
    pub async fn run(mut self) {
        let mut version: Option<String> = None;
        let mut pause = PAUSE;
        loop {
            let end = match self.link().await {
                Ok(link) => self.follow(&link, &mut version, &mut pause).await,
                Err(end) => end,
            };
            match end {
                End::Over => sleep(SOON).await,
                End::Closed => return,
                End::Expired => {
                    tracing::debug!(cluster = %self.cluster, kind = self.kind.kind, "watched anew from a list");
                    version = None;
                    continue;
                }
                End::Unserved => {
                    // What is not served is not there.
                    version = None;
                    let listed = News::Listed(self.kind.clone(), Vec::new());
                    for news in [listed, News::Up(self.kind.clone())] {
                        if self.tell.send(news).await.is_err() {
                            return;
                        }
                    }
                    sleep(UNSERVED).await;
                }
                End::Trouble(why) => {
                    tracing::debug!(cluster = %self.cluster, kind = self.kind.kind, why, "not watched now");
                    if self.tell.send(News::Down(self.kind.clone())).await.is_err() {
                        return;
                    }
                    sleep(pause).await;
                    pause = (2 * pause).min(PAUSE_MAX);
                    // A cluster that does not answer is somebody else's to probe.
                    if self.beats.wait_for(|beat| beat.reachable).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn link(&self) -> Result<Arc<Link>, End> {
        let ready = self.shared.clusters.of(&self.cluster).ready().await;
        ready.map_err(|error| match error {
            NotReady::Parked(failure) => End::Trouble(failure.message),
            NotReady::Store(error) => End::Trouble(error.to_string()),
        })
    }

    /// Lists if need be, then watches until the stream ends.
    async fn follow(
        &mut self,
        link: &Link,
        version: &mut Option<String>,
        pause: &mut Duration,
    ) -> End {
        let resolved = link
            .discovery
            .resolve_any(
                link,
                &self.kind.group,
                &self.version,
                &self.kind.kind,
                WITHIN,
            )
            .await;
        let api = match resolved {
            Ok(api) => api,
            Err(NoApi::NoMatch) => return End::Unserved,
            Err(NoApi::Answer(answer)) => return refused(link, &self.kind, &answer),
            Err(NoApi::Net(error)) => return End::Trouble(error.to_string()),
        };
        let from = match version.clone() {
            Some(version) => version,
            None => match self.list(link, &api).await {
                Ok(listed) => version.insert(listed).clone(),
                Err(end) => return end,
            },
        };
        let selector = self.selector();
        let request = match request::watch(&api, &selector, &from, self.kind.by_presence()) {
            Ok(request) => request,
            Err(error) => return End::Trouble(error.to_string()),
        };
        let mut lines = match link.lines(request).await {
            Ok(lines) => lines,
            Err(error) => return End::Trouble(error.to_string()),
        };
        match lines.code {
            200 => {}
            410 => return End::Expired,
            404 => {
                link.discovery.forget(&self.kind.group);
                *version = None;
                return End::Trouble("answered with 404".to_owned());
            }
            code => return End::Trouble(format!("answered with {code}")),
        }
        if self.tell.send(News::Up(self.kind.clone())).await.is_err() {
            return End::Closed;
        }
        self.read(&mut lines, version, pause).await
    }

    async fn read(
        &mut self,
        lines: &mut Lines,
        version: &mut Option<String>,
        pause: &mut Duration,
    ) -> End {
        loop {
            let line = tokio::select! {
                line = lines.next() => line,
                // A silent connection to a dead cluster would never end by itself.
                _ = self.beats.wait_for(|beat| !beat.reachable) => {
                    return End::Trouble("the cluster does not answer".to_owned());
                }
            };
            let line = match line {
                Ok(Some(line)) => line,
                Ok(None) => return End::Over,
                Err(error) => return End::Trouble(error.to_string()),
            };
            let Ok(mut event) = serde_json::from_slice::<Value>(&line) else {
                return End::Trouble("what was read is no event".to_owned());
            };
            let object = event["object"].take();
            if event["type"] == "ERROR" {
                return match object["code"].as_u64() {
                    Some(410) => End::Expired,
                    code => {
                        *version = None;
                        End::Trouble(format!("the watch ended with {code:?}"))
                    }
                };
            }
            let seen = object["metadata"]["resourceVersion"].as_str();
            let seen = seen.map(str::to_owned);
            let news = match event["type"].as_str() {
                Some("ADDED" | "MODIFIED") => {
                    Object::read(&self.kind, object).map(|o| News::Seen(self.kind.clone(), o))
                }
                Some("DELETED") => Object::read(&self.kind, object)
                    .map(|object| News::Gone(self.kind.clone(), object.name)),
                _ => None,
            };
            if let Some(news) = news
                && self.tell.send(news).await.is_err()
            {
                return End::Closed;
            }
            // Only what was told counts as seen.
            if seen.is_some() {
                *version = seen;
                *pause = PAUSE;
            }
        }
    }

    /// Everything of the kind that carries our label, and the version to watch from.
    async fn list(&self, link: &Link, api: &Api) -> Result<String, End> {
        let selector = self.selector();
        let mut objects = Vec::new();
        let mut page: Option<String> = None;
        loop {
            let whole = !self.kind.by_presence();
            let request = request::list_page(api, &selector, page.as_deref(), whole)
                .map_err(|error| End::Trouble(error.to_string()))?;
            let answer = link
                .ask(request, WITHIN)
                .await
                .map_err(|error| End::Trouble(error.to_string()))?;
            if !answer.ok() {
                return Err(match answer.code {
                    410 => End::Expired,
                    _ => refused(link, &self.kind, &answer),
                });
            }
            let mut json = answer.json();
            let items = match json["items"].take() {
                Value::Array(items) => items,
                _ => Vec::new(),
            };
            objects.extend(
                items
                    .into_iter()
                    .filter_map(|item| Object::read(&self.kind, item)),
            );
            match json["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => page = Some(next.to_owned()),
                _ => {
                    let version = json["metadata"]["resourceVersion"].as_str();
                    let version = version.unwrap_or("0").to_owned();
                    let listed = News::Listed(self.kind.clone(), objects);
                    return match self.tell.send(listed).await {
                        Ok(()) => Ok(version),
                        Err(_) => Err(End::Closed),
                    };
                }
            }
        }
    }

    fn selector(&self) -> String {
        format!("{INSTALLATION_LABEL}={}", self.installation)
    }
}

fn refused(link: &Link, kind: &Kind, answer: &Answer) -> End {
    link.discovery.doubt(&kind.group, answer);
    End::Trouble(format!("answered with {}", answer.code))
}
