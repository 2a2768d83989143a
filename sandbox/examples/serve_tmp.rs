#![allow(clippy::unwrap_used, clippy::print_stdout)]
use sandbox::Host;
use sandbox::host::{ClusterSpec, HostConfig};
#[tokio::main]
async fn main() {
    let config = HostConfig { dir: Some("/tmp/sb/data".into()), clusters: vec![ClusterSpec::simulated("c1")], ..HostConfig::default() };
    let host = Host::start(config).await.unwrap();
    println!("{:?}", host.cluster("c1").unwrap().kubeconfig_file);
    tokio::signal::ctrl_c().await.unwrap();
}
