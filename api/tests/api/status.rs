//! Status, watch, events.

use crate::stack::*;
use proto::v1::{self, get_status_response::Part};

async fn status(stack: &Stack, filter: v1::StatusFilter) -> (v1::StatusHead, Vec<v1::Resource>) {
    let request = v1::GetStatusRequest {
        name: "web".into(),
        filter: Some(filter),
        ..Default::default()
    };
    let mut stream = stack
        .lifecycle
        .clone()
        .get_status(request)
        .await
        .unwrap()
        .into_inner();
    let Some(Part::Head(head)) = stream.message().await.unwrap().unwrap().part else {
        panic!("no head")
    };
    let mut resources = vec![];
    while let Some(message) = stream.message().await.unwrap() {
        match message.part {
            Some(Part::Resources(chunk)) => resources.extend(chunk.resources),
            other => panic!("{other:?}"),
        }
    }
    (head, resources)
}

fn many(count: usize) -> String {
    (0..count)
        .map(|n| config_map(&format!("m{n:04}")))
        .collect::<Vec<_>>()
        .join("---\n")
}

#[tokio::test]
async fn a_status_comes_in_chunks_and_counts_every_resource_once() {
    let stack = Stack::start().await;
    stack
        .apply(&[cluster("c1"), app(&many(1_201)), DIG])
        .await
        .unwrap();
    let mut lifecycle = stack.lifecycle.clone();
    let (head, resources) = status(&stack, Default::default()).await;
    assert_eq!(
        (
            head.state(),
            head.context,
            resources.len(),
            head.actions.len()
        ),
        (v1::DigState::Created, None, 0, 1)
    );
    lifecycle
        .approve(v1::ApproveRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    lifecycle
        .instantiate(v1::InstantiateRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    let (head, resources) = status(&stack, Default::default()).await;
    assert_eq!(
        head.context.unwrap().state(),
        v1::ContextState::Instantiating
    );
    assert_eq!(head.deployed_counts.unwrap().pending, 1_201);
    let names: std::collections::BTreeSet<_> =
        resources.iter().map(|resource| &resource.name).collect();
    assert_eq!((resources.len(), names.len()), (1_201, 1_201));
    assert!(resources.iter().all(|r| (
        r.app.as_str(),
        r.cluster.as_str(),
        r.goal(),
        r.deployed_status()
    ) == (
        "backend",
        "default+c1",
        v1::Goal::Apply,
        v1::ResourceState::Pending
    )));
    let app = &head.apps[0];
    assert_eq!(
        (
            app.name.as_str(),
            app.clusters[0].cluster.as_str(),
            app.clusters[0].deployed_counts.unwrap().pending
        ),
        ("backend", "default+c1", 1_201)
    );
    for (filter, expected) in [
        (
            v1::StatusFilter {
                resource: "m0007".into(),
                ..Default::default()
            },
            1,
        ),
        (
            v1::StatusFilter {
                app: "nobody".into(),
                ..Default::default()
            },
            0,
        ),
        (
            v1::StatusFilter {
                cluster: "c1".into(),
                state: v1::ResourceState::Pending.into(),
                ..Default::default()
            },
            1_201,
        ),
        (
            v1::StatusFilter {
                state: v1::ResourceState::Failed.into(),
                ..Default::default()
            },
            0,
        ),
    ] {
        assert_eq!(
            status(&stack, filter.clone()).await.1.len(),
            expected,
            "{filter:?}"
        );
    }
    stack.stop().await;
}

/// The picture that a caller has who follows a watch.
#[derive(Default)]
struct Picture {
    head: Option<v1::StatusHead>,
    rows: std::collections::BTreeMap<i32, v1::Resource>,
    resets: usize,
    token: String,
}

impl Picture {
    /// Up to and including the next complete picture.
    async fn synced(&mut self, stream: &mut tonic::Streaming<v1::WatchStatusResponse>) {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if message.reset {
                self.rows.clear();
                self.resets += 1;
            }
            self.head = message.head.or(self.head.take());
            self.rows.extend(
                message
                    .resources
                    .into_iter()
                    .map(|resource| (resource.row, resource)),
            );
            for row in message.removed {
                self.rows.remove(&row);
            }
            if message.synced {
                self.token = message.resume_token;
                return;
            }
        }
    }

    fn state(&self) -> v1::DigState {
        self.head.as_ref().unwrap().state()
    }
}

#[tokio::test]
async fn a_watch_sends_a_snapshot_then_changes_and_goes_on_where_it_was() {
    let stack = Stack::start().await;
    stack.approved().await;
    let mut lifecycle = stack.lifecycle.clone();
    let watch = |token: &str| v1::WatchStatusRequest {
        name: "web".into(),
        resume_token: token.into(),
        ..Default::default()
    };
    let mut stream = lifecycle
        .watch_status(watch(""))
        .await
        .unwrap()
        .into_inner();
    let mut picture = Picture::default();
    picture.synced(&mut stream).await;
    assert_eq!(
        (picture.state(), picture.rows.len(), picture.resets),
        (v1::DigState::Approved, 0, 1)
    );
    lifecycle
        .instantiate(v1::InstantiateRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    while picture.state() != v1::DigState::Instantiated {
        picture.synced(&mut stream).await;
    }
    assert_eq!((picture.rows.len(), picture.resets), (1, 2));
    drop(stream);
    lifecycle
        .terminate(v1::TerminateRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    let mut stream = lifecycle
        .watch_status(watch(&picture.token))
        .await
        .unwrap()
        .into_inner();
    picture.synced(&mut stream).await;
    assert_eq!(
        (picture.state(), picture.resets),
        (v1::DigState::Terminated, 2)
    );
    stack.stop().await;
    let ended = loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert_eq!(ended.unwrap_err().code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn events_come_oldest_first_whole_in_part_or_from_the_end() {
    let stack = Stack::start().await;
    stack.approved().await;
    let events = async |after_seq, limit, tail| {
        let mut stream = stack
            .lifecycle
            .clone()
            .list_events(v1::ListEventsRequest {
                name: "web".into(),
                after_seq,
                limit,
                tail,
                ..Default::default()
            })
            .await
            .unwrap()
            .into_inner();
        let mut seqs = vec![];
        while let Some(message) = stream.message().await.unwrap() {
            seqs.extend(message.events.into_iter().map(|event| event.seq));
        }
        seqs
    };
    let all = events(0, 0, 0).await;
    assert!(all.len() >= 2 && all.is_sorted(), "{all:?}");
    assert_eq!(events(0, 1, 0).await, all[..1]);
    assert_eq!(events(all[0], 0, 0).await, all[1..]);
    assert_eq!(events(0, 0, 1).await, all[all.len() - 1..]);
    stack.stop().await;
}
