//! Clusters that are reached only through the `proxy-url` of their kubeconfig: their names lead
//! nowhere but there.

use sandbox::host::{Host, HostConfig};
use serde_json::Value;
use std::net::SocketAddr;
use tests::{
    Stack,
    clusters::{client, inventory, until_as_before},
    documents::{App, Upload, config_maps},
    proxy::Proxy,
};

async fn muster(stack: &Stack, words: &str) -> (u8, String) {
    let line = format!("{words} --server http://{}", stack.grpc);
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let ran = tests::muster::muster(&words, Vec::new()).await;
    (ran.code, ran.out + &ran.err)
}

/// A kubeconfig as of a cluster behind a proxy, and where its server really is.
fn behind(kubeconfig: &str, name: &str) -> (Value, SocketAddr) {
    let mut config: Value = serde_yaml_ng::from_str(kubeconfig).unwrap();
    let cluster = &mut config["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().unwrap();
    let address = server.strip_prefix("https://").unwrap().parse().unwrap();
    cluster["server"] = format!("https://{name}").into();
    cluster["tls-server-name"] = "127.0.0.1".into();
    (config, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_that_only_a_proxy_reaches_are_checked_filled_and_emptied_through_it() {
    const HTTP: &str = "http.behind.invalid:6443";
    const SOCKS: &str = "socks.behind.invalid:6443";
    let stack = Stack::start(1).await;
    let hidden = Host::start(HostConfig::simulated(2)).await.unwrap();
    let [first, second] = ["c1", "c2"].map(|name| hidden.cluster(name).unwrap().kubeconfig.clone());
    let (mut by_http, there) = behind(&first, HTTP);
    let http = Proxy::http([(HTTP.to_owned(), there)].into(), "me:let-me-out").await;
    by_http["clusters"][0]["cluster"]["proxy-url"] =
        format!("http://me:let-me-out@{}", http.address).into();
    let (mut by_socks, there) = behind(&second, SOCKS);
    let socks = Proxy::socks5([(SOCKS.to_owned(), there)].into()).await;
    by_socks["clusters"][0]["cluster"]["proxy-url"] = format!("socks5://{}", socks.address).into();

    let mut upload = Upload::default();
    for (name, config) in [("http", &by_http), ("socks", &by_socks)] {
        let text = serde_yaml_ng::to_string(config).unwrap();
        upload.cluster("behind", name, "hidden: \"true\"", &text);
    }
    by_http["clusters"][0]["cluster"]["proxy-url"] = format!("http://{}", http.address).into();
    let text = serde_yaml_ng::to_string(&by_http).unwrap();
    upload.cluster("behind", "stranger", "hidden: \"false\"", &text);
    stack.apply(upload).await.unwrap();
    let clients = [client(&first).await, client(&second).await];
    let before = [inventory(&clients[0]).await, inventory(&clients[1]).await];
    let placement = "  namespace: shop\n  placement: [{app: \"*\", allOf: [{label: hidden=true}]}]";
    let apps = [App::new("a", config_maps(&["m1", "m2"]))];
    let dig = stack.approved("x", &apps, placement).await;
    dig.instantiate().await.unwrap();
    dig.until_instantiated().await;
    for client in &clients {
        assert_eq!(tests::clusters::config_maps(client).await.len(), 2);
    }
    dig.terminate().await.unwrap();
    dig.until_terminated().await;
    for (client, before) in clients.iter().zip(&before) {
        until_as_before(client, before).await;
    }
    for name in ["http", "socks"] {
        let (exit, text) = muster(&stack, &format!("cluster check behind+{name}")).await;
        assert_eq!(exit, 0, "{text}");
        assert!(text.contains("Kubernetes v1."), "{text}");
    }
    let (exit, text) = muster(&stack, "cluster check behind+stranger").await;
    assert_eq!(exit, 1, "{text}");
    assert!(text.contains("proxy 127.0.0.1: "), "{text}");

    // The check has connections of its own.
    for (proxy, place) in [(&http, HTTP), (&socks, SOCKS)] {
        let carried = proxy.carried();
        assert!(carried.len() >= 2, "{carried:?}");
        assert!(carried.iter().all(|to| to == place), "{carried:?}");
    }

    // Without the proxy there is no way.
    drop((http, socks));
    for name in ["http", "socks"] {
        let (exit, text) = muster(&stack, &format!("cluster check behind+{name}")).await;
        assert_eq!(exit, 1, "{text}");
        assert!(text.contains("proxy 127.0.0.1: "), "{text}");
    }
    hidden.shutdown().await;
    stack.end().await;
}
