#![allow(clippy::unwrap_used, clippy::print_stdout)]
use sandbox::Host;
use sandbox::host::{ClusterSpec, HostConfig};
#[tokio::main]
async fn main() {
    let host = Host::start(HostConfig { clusters: vec![ClusterSpec::simulated("c1")], ..HostConfig::default() }).await.unwrap();
    let c = host.cluster("c1").unwrap();
    println!("{} {}", c.server, c.token);
    tokio::signal::ctrl_c().await.unwrap();
}
