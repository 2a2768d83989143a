//! Requests that no `muster` sends: bad tokens, ids, headers, chunks. Each is answered by
//! `google.rpc.Status` with the field or reason in its details.

use futures_util::{FutureExt, future::BoxFuture};
use proto::v1::{self, apply_request::Part};
use tests::api_only::ApiOnly;
use tonic::{Code, Request, Status, metadata::MetadataValue};
use tonic_types::StatusExt;

type Call = for<'a> fn(&'a ApiOnly) -> BoxFuture<'a, Result<(), Status>>;

/// What is wrong, the call, its code, the violation's field or the reason, a part of the message.
type Row = (&'static str, Call, Code, &'static str, &'static str);

/// A unary or streaming call of the documents, its answer dropped.
macro_rules! call {
    ($service:ident . $method:ident ( $request:expr )) => {
        |api| {
            async move {
                let mut client = api.$service.clone();
                client.$method($request).await.map(drop)
            }
            .boxed()
        }
    };
}

fn text(data: &str) -> Option<v1::DocumentText> {
    Some(v1::DocumentText {
        data: data.as_bytes().to_vec().into(),
        files: vec![],
    })
}

fn parts(parts: Vec<Option<Part>>) -> impl futures_util::Stream<Item = v1::ApplyRequest> {
    futures_util::stream::iter(parts.into_iter().map(|part| v1::ApplyRequest { part }))
}

fn header() -> Option<Part> {
    Some(Part::Header(v1::ApplyHeader::default()))
}

fn source(name: &str, data: &[u8], last: bool) -> Option<Part> {
    Some(Part::Source(v1::SourceChunk {
        source: name.into(),
        data: data.to_vec().into(),
        last,
    }))
}

fn entry(source: &str) -> Option<Part> {
    Some(Part::Entry(v1::EntryChunk {
        source: source.into(),
        document: 1,
        field: "spec.kubeconfig".into(),
        file: "k".into(),
        data: vec![].into(),
        last: true,
    }))
}

fn verb(request_id: &str) -> v1::ApproveRequest {
    v1::ApproveRequest {
        project: "p".into(),
        name: "created".into(),
        request_id: request_id.into(),
        validate_only: false,
    }
}

fn status(name: &str) -> v1::GetStatusRequest {
    v1::GetStatusRequest {
        project: "p".into(),
        name: name.into(),
        ..Default::default()
    }
}

const CLUSTER: &str = "{apiVersion: muster.dev/v1, kind: Cluster, metadata: {name: c1}, spec: {kubeconfig: {stored: k}}}";
const DIG: &str = "{apiVersion: muster.dev/v1, kind: DeploymentIntentGroup, metadata: {name: none}, spec: {compositeApp: {name: shop, version: v1}}}";

fn rows() -> Vec<Row> {
    use Code::{AlreadyExists, InvalidArgument as Invalid, NotFound, Ok};
    vec![
        (
            "a page token of nobody",
            call!(documents.list_clusters(v1::ListClustersRequest {
                page_token: "%%".into(),
                page_size: 1
            })),
            Invalid,
            "page_token",
            "start again without one",
        ),
        (
            "a page of minus one",
            call!(documents.list_clusters(v1::ListClustersRequest {
                page_token: String::new(),
                page_size: -1
            })),
            Invalid,
            "page_size",
            "leave it out",
        ),
        (
            "a page of apps by a foreign token",
            call!(documents.list_composite_apps(v1::ListCompositeAppsRequest {
                page_token: "\u{1f980}".into(),
                ..Default::default()
            })),
            Invalid,
            "page_token",
            "start again",
        ),
        (
            "a page of groups of minus one",
            call!(
                documents.list_deployment_intent_groups(v1::ListDeploymentIntentGroupsRequest {
                    page_size: i32::MIN,
                    ..Default::default()
                })
            ),
            Invalid,
            "page_size",
            "leave it out",
        ),
        (
            "a list of no project",
            call!(
                documents.list_deployment_intent_groups(v1::ListDeploymentIntentGroupsRequest {
                    project: "a b".into(),
                    ..Default::default()
                })
            ),
            Invalid,
            "project",
            "lower-case",
        ),
        (
            "a group without a name",
            call!(lifecycles.approve(v1::ApproveRequest::default())),
            Invalid,
            "name",
            "name a deployment intent group",
        ),
        (
            "a name of a megabyte",
            call!(lifecycles.get_status(status(&"x".repeat(1 << 20)))),
            Invalid,
            "name",
            "is longer than 253 characters",
        ),
        (
            "a name of control characters",
            call!(lifecycles.get_status(status("a\0b"))),
            Invalid,
            "name",
            "control character",
        ),
        (
            "a request id of a megabyte",
            call!(lifecycles.approve(verb(&"x".repeat(1 << 20)))),
            Invalid,
            "request_id",
            "at most 128",
        ),
        (
            "a request id of two lines",
            call!(lifecycles.approve(verb("a\nb"))),
            Invalid,
            "request_id",
            "printable",
        ),
        (
            "a state of no enum",
            call!(lifecycles.get_status(v1::GetStatusRequest {
                filter: Some(v1::StatusFilter {
                    state: 99,
                    ..Default::default()
                }),
                ..status("created")
            })),
            Invalid,
            "filter.state",
            "leave it out",
        ),
        (
            "minus one event",
            call!(lifecycles.list_events(v1::ListEventsRequest {
                project: "p".into(),
                name: "created".into(),
                limit: -1,
                ..Default::default()
            })),
            Invalid,
            "limit",
            "leave it out",
        ),
        (
            "the first and the last events",
            call!(lifecycles.list_events(v1::ListEventsRequest {
                project: "p".into(),
                name: "created".into(),
                limit: 1,
                tail: 1,
                ..Default::default()
            })),
            Invalid,
            "tail",
            "give one of them",
        ),
        (
            "the watch of nothing",
            call!(lifecycles.watch_status(v1::WatchStatusRequest {
                project: "p".into(),
                name: "none".into(),
                resume_token: "%%".into(),
                ..Default::default()
            })),
            NotFound,
            "NOT_FOUND",
            "muster get dig",
        ),
        (
            "a create without a document",
            call!(documents.create_cluster(v1::CreateClusterRequest::default())),
            Invalid,
            "document",
            "send the document's text",
        ),
        (
            "a create of two documents",
            call!(documents.create_deployment_intent_group(
                v1::CreateDeploymentIntentGroupRequest {
                    project: "p".into(),
                    document: text(&format!("{DIG}\n---\n{}", DIG.replace("none", "other"))),
                    ..Default::default()
                }
            )),
            Invalid,
            "document",
            "use Apply for several",
        ),
        (
            "a create of another kind",
            call!(
                documents.create_composite_app(v1::CreateCompositeAppRequest {
                    project: "p".into(),
                    document: text(DIG),
                    ..Default::default()
                })
            ),
            Invalid,
            "document",
            "send a CompositeApp",
        ),
        (
            "a create of what is there",
            call!(documents.create_cluster(v1::CreateClusterRequest {
                document: text(CLUSTER),
                ..Default::default()
            })),
            AlreadyExists,
            "ALREADY_EXISTS",
            "update it, or choose another name",
        ),
        (
            "an update of what is not there",
            call!(documents.update_deployment_intent_group(
                v1::UpdateDeploymentIntentGroupRequest {
                    project: "p".into(),
                    document: text(DIG),
                    ..Default::default()
                }
            )),
            NotFound,
            "NOT_FOUND",
            "muster get dig",
        ),
        (
            "a stored kubeconfig of nobody",
            call!(documents.create_cluster(v1::CreateClusterRequest {
                document: text(&CLUSTER.replace("c1", "c9")),
                ..Default::default()
            })),
            Invalid,
            "document#1:spec.kubeconfig",
            "name the kubeconfig's file",
        ),
        (
            "an upload without a header",
            call!(documents.apply(parts(vec![source("a", b"x", true)]))),
            Invalid,
            "header",
            "send it before any file",
        ),
        (
            "an upload of nothing",
            call!(documents.apply(parts(vec![]))),
            Invalid,
            "header",
            "send it before any file",
        ),
        (
            "an upload of two headers",
            call!(documents.apply(parts(vec![header(), header()]))),
            Invalid,
            "header",
            "send one only",
        ),
        (
            "an upload of an empty message",
            call!(documents.apply(parts(vec![header(), None]))),
            Invalid,
            "part",
            "update it",
        ),
        (
            "an upload that ends within a file",
            call!(documents.apply(parts(vec![header(), source("a", b"x", false)]))),
            Invalid,
            "last",
            "send it again",
        ),
        (
            "an upload of mixed chunks",
            call!(documents.apply(parts(vec![
                header(),
                source("a", b"x", false),
                source("b", b"x", true)
            ]))),
            Invalid,
            "b",
            "one file after the other",
        ),
        (
            "a chunk of two megabytes",
            call!(documents.apply(parts(vec![
                header(),
                source("a", &vec![b'x'; 2 << 20], true)
            ]))),
            Invalid,
            "a",
            "send smaller ones",
        ),
        (
            "a file sent twice",
            call!(documents.apply(parts(vec![
                header(),
                source("a", b"a: b", true),
                source("a", b"a: b", true)
            ]))),
            Invalid,
            "a",
            "send it once",
        ),
        (
            "a file of no document",
            call!(documents.apply(parts(vec![
                header(),
                source("a", b"a: b", true),
                entry("b")
            ]))),
            Invalid,
            "b",
            "send it too",
        ),
        (
            "a document that is no UTF-8",
            call!(documents.apply(parts(vec![header(), source("a", b"\xff", true)]))),
            Invalid,
            "a",
            "save it as UTF-8",
        ),
        (
            "a name of an actor that is no text",
            |api| {
                async move {
                    let mut request = Request::new(status("none"));
                    let name = MetadataValue::try_from(&b"\xff\xfe"[..])
                        .map_err(|e| Status::internal(e.to_string()))?;
                    request.metadata_mut().insert("muster-actor", name);
                    api.lifecycles.clone().get_status(request).await.map(drop)
                }
                .boxed()
            },
            NotFound,
            "NOT_FOUND",
            "muster get dig",
        ),
        (
            "a resume token of nobody, which begins anew",
            call!(lifecycles.watch_status(v1::WatchStatusRequest {
                project: "p".into(),
                name: "created".into(),
                resume_token: "%%".into(),
                ..Default::default()
            })),
            Ok,
            "",
            "",
        ),
    ]
}

/// What is not answered as it should be.
pub async fn check(api: &ApiOnly) -> Vec<String> {
    let mut wrong = vec![];
    for (what, call, code, detail, says) in rows() {
        let status = call(api).await.err().unwrap_or_else(|| Status::ok(""));
        let details = status.get_error_details();
        let mut places: Vec<&str> = details
            .bad_request()
            .into_iter()
            .flat_map(|bad| bad.field_violations.iter().map(|v| v.field.as_str()))
            .collect();
        places.extend(details.error_info().map(|info| info.reason.as_str()));
        let told = places.contains(&detail) || code == Code::Ok && places.is_empty();
        if status.code() != code || !told || !status.message().contains(says) {
            wrong.push(format!(
                "{what}: {:?} {places:?} {}",
                status.code(),
                status.message()
            ));
        }
    }
    wrong
}
