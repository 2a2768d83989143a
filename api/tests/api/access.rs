//! Who may call, and what else the ports say.

use crate::stack::*;
use proto::v1;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::{Code, Request, metadata::MetadataValue};

fn with<T>(message: T, header: &'static str, value: &str) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(header, MetadataValue::try_from(value).unwrap());
    request
}

#[tokio::test]
async fn a_tokens_name_is_the_actor_and_without_a_token_nobody_calls() {
    let stack = Stack::start_with(|directory, config| {
        let tokens = directory.join("tokens");
        std::fs::write(&tokens, "ann 0123456789abcdef\n").unwrap();
        config.tokens = Some(tokens);
    })
    .await;
    let mut documents = stack.documents.clone();
    assert_eq!(
        documents
            .list_clusters(v1::ListClustersRequest::default())
            .await
            .unwrap_err()
            .code(),
        Code::Unauthenticated
    );
    assert_eq!(
        documents
            .list_clusters(with(
                v1::ListClustersRequest::default(),
                "authorization",
                "Bearer nonsense"
            ))
            .await
            .unwrap_err()
            .code(),
        Code::Unauthenticated
    );
    let messages = requests(&[app(&config_map("m")), DIG], Default::default());
    documents
        .apply(with(
            tokio_stream::iter(messages),
            "authorization",
            "Bearer 0123456789abcdef",
        ))
        .await
        .unwrap();
    let approve = with(
        v1::ApproveRequest {
            name: "web".into(),
            ..Default::default()
        },
        "authorization",
        "Bearer 0123456789abcdef",
    );
    stack.lifecycle.clone().approve(approve).await.unwrap();
    let request = with(
        v1::GetStatusRequest {
            name: "web".into(),
            ..Default::default()
        },
        "authorization",
        "Bearer 0123456789abcdef",
    );
    let mut stream = stack
        .lifecycle
        .clone()
        .get_status(request)
        .await
        .unwrap()
        .into_inner();
    let Some(v1::get_status_response::Part::Head(head)) =
        stream.message().await.unwrap().unwrap().part
    else {
        panic!("no head")
    };
    assert_eq!(
        head.actions
            .iter()
            .map(|action| action.actor.as_str())
            .collect::<Vec<_>>(),
        ["ann", "ann"]
    );
    drop(stream);
    stack.stop().await;
}

#[tokio::test]
async fn on_loopback_the_caller_names_itself() {
    let stack = Stack::start().await;
    let messages = requests(&[app(&config_map("m")), DIG], Default::default());
    stack
        .documents
        .clone()
        .apply(with(tokio_stream::iter(messages), "muster-actor", "bob"))
        .await
        .unwrap();
    stack
        .lifecycle
        .clone()
        .approve(v1::ApproveRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    let mut stream = stack
        .lifecycle
        .clone()
        .get_status(v1::GetStatusRequest {
            name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    let Some(v1::get_status_response::Part::Head(head)) =
        stream.message().await.unwrap().unwrap().part
    else {
        panic!("no head")
    };
    assert_eq!(
        head.actions
            .iter()
            .map(|action| action.actor.as_str())
            .collect::<Vec<_>>(),
        ["bob", "anonymous"]
    );
    drop(stream);
    stack.stop().await;
}

async fn http(stack: &Stack, path: &str) -> String {
    let mut socket = tokio::net::TcpStream::connect(stack.bound.http.unwrap())
        .await
        .unwrap();
    socket
        .write_all(
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await
        .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn the_http_port_says_healthy_ready_and_counts_calls() {
    let stack = Stack::start().await;
    stack
        .documents
        .clone()
        .list_clusters(v1::ListClustersRequest::default())
        .await
        .unwrap();
    assert!(http(&stack, "/healthz").await.starts_with("HTTP/1.1 200"));
    let ready = http(&stack, "/readyz").await;
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.contains(r#""store":"ok""#),
        "{ready}"
    );
    until("the call is counted", async || {
        http(&stack, "/metrics")
            .await
            .contains(r#"muster_rpc_total{rpc="DocumentService/ListClusters",code="Ok"}"#)
    })
    .await;
    stack.stop().await;
}

#[tokio::test]
async fn reflection_names_our_services_in_both_versions() {
    let stack = Stack::start().await;
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", stack.bound.grpc))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let services = {
        use tonic_reflection::pb::v1::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut answers = ServerReflectionClient::new(channel.clone())
            .server_reflection_info(tokio_stream::once(ask))
            .await
            .unwrap()
            .into_inner();
        let Some(MessageResponse::ListServicesResponse(list)) =
            answers.message().await.unwrap().unwrap().message_response
        else {
            panic!("no list")
        };
        list.service
            .into_iter()
            .map(|service| service.name)
            .collect::<Vec<_>>()
    };
    for name in [
        "muster.v1.DocumentService",
        "muster.v1.LifecycleService",
        "grpc.health.v1.Health",
    ] {
        assert!(services.contains(&name.to_owned()), "{services:?}");
    }
    let alpha = {
        use tonic_reflection::pb::v1alpha::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol(
                "muster.v1.LifecycleService".into(),
            )),
        };
        let mut answers = ServerReflectionClient::new(channel)
            .server_reflection_info(tokio_stream::once(ask))
            .await
            .unwrap()
            .into_inner();
        matches!(
            answers.message().await.unwrap().unwrap().message_response,
            Some(MessageResponse::FileDescriptorResponse(_))
        )
    };
    assert!(alpha);
    stack.stop().await;
}

/// A server outside of a [`Stack`]; ends with the runtime.
async fn serve(config: api::Config) -> std::net::SocketAddr {
    let server = api::Server::bind_with(config, std::sync::Arc::new(Notes::default()))
        .await
        .unwrap();
    let bound = server.bound().unwrap();
    tokio::spawn(server.run(std::future::pending()));
    bound.grpc
}

fn config(directory: &std::path::Path, store: &str) -> api::Config {
    let key = directory.join("muster.key");
    std::fs::write(&key, "11".repeat(32)).unwrap();
    api::Config::embedded(
        store,
        Default::default(),
        "127.0.0.1:0".parse().unwrap(),
        None,
        key,
    )
}

#[tokio::test]
async fn with_a_certificate_only_tls_is_spoken() {
    let directory = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (
        directory.path().join("c.pem"),
        directory.path().join("k.pem"),
    );
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let store = format!("sqlite:{}", directory.path().join("m.db").display());
    let mut config = config(directory.path(), &store);
    config.tls = Some((cert, key));
    let port = serve(config).await.port();
    let trust = tonic::transport::ClientTlsConfig::new().ca_certificate(
        tonic::transport::Certificate::from_pem(certified.cert.pem()),
    );
    let endpoint = |scheme: &str| {
        tonic::transport::Channel::from_shared(format!("{scheme}://localhost:{port}")).unwrap()
    };
    let channel = endpoint("https")
        .tls_config(trust)
        .unwrap()
        .connect()
        .await
        .unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    health
        .check(tonic_health::pb::HealthCheckRequest::default())
        .await
        .unwrap();
    let plain = endpoint("http").connect_lazy();
    let mut health = tonic_health::pb::health_client::HealthClient::new(plain);
    health
        .check(tonic_health::pb::HealthCheckRequest::default())
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_store_that_is_not_there_yet_is_waited_for_and_said_so() {
    let directory = tempfile::tempdir().unwrap();
    // A folder where the file shall be: SQLite cannot open it until it is gone.
    let file = directory.path().join("m.db");
    std::fs::create_dir(&file).unwrap();
    let address = serve(config(
        directory.path(),
        &format!("sqlite:{}", file.display()),
    ))
    .await;
    let mut documents =
        v1::document_service_client::DocumentServiceClient::connect(format!("http://{address}"))
            .await
            .unwrap();
    let mut wait = async |code: Code| {
        until("the answer", async || {
            let answer = documents
                .list_clusters(v1::ListClustersRequest::default())
                .await;
            answer.map_or_else(|status| status.code(), |_| Code::Ok) == code
        })
        .await;
    };
    wait(Code::Unavailable).await;
    std::fs::remove_dir(&file).unwrap();
    wait(Code::Ok).await;
}
