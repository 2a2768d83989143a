//! Objects of one real kube-apiserver: Muster beside a plain `kube` loop of 32 requests at a time,
//! `kubectl apply --server-side` and `helm install`, in turn, in the same run.
//!
//! `cargo bench -p muster-tests --bench one_server [-- OBJECTS ROUNDS]`
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and fails by panicking"
)]

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use std::{collections::BTreeMap, fs, path::Path, process::Stdio, time::Instant};
use tests::{
    Stack,
    control_plane::{ControlPlane, Profile},
    documents::{App, Upload, on},
    plain,
};
use tokio::process::Command;

const SIZES: [usize; 2] = [1_000, 2_000];
const ROUNDS: usize = 5;

/// A program and what it is given; its end is awaited.
async fn ran(program: &str, kubeconfig: &Path, args: &[&str]) {
    let ended = Command::new(program)
        .args(args)
        .env("KUBECONFIG", kubeconfig)
        .stdout(Stdio::null())
        .status()
        .await
        .unwrap();
    assert!(ended.success(), "{program} {args:?}: {ended}");
}

async fn is_there(program: &str) -> bool {
    let mut asked = Command::new(program);
    asked.arg("version").stdout(Stdio::null());
    let there = asked.stderr(Stdio::null()).status().await.is_ok();
    if !there {
        println!("skipped: no {program} on the path");
    }
    there
}

/// Seconds by what was done, round by round.
#[derive(Default)]
struct Times(BTreeMap<&'static str, Vec<f64>>);

impl Times {
    async fn of(&mut self, what: &'static str, work: impl Future<Output = ()>) {
        let since = Instant::now();
        work.await;
        let seconds = since.elapsed().as_secs_f64();
        self.0.entry(what).or_default().push(seconds);
    }

    fn median(&self, what: &str) -> Option<f64> {
        let mut seconds = self.0.get(what)?.clone();
        seconds.sort_by(f64::total_cmp);
        Some(seconds[seconds.len() / 2])
    }

    fn print(&self, size: usize) {
        for (what, loop_, muster, others) in [
            ("instantiate", "apply", "instantiate", ["kubectl", "helm"]),
            ("terminate", "delete", "terminate", ["", "helm uninstall"]),
        ] {
            let plain = self.median(loop_).unwrap();
            let muster = self.median(muster).unwrap();
            let cell = |of: Option<f64>| of.map_or("–".into(), |s| format!("{s:.2} s"));
            println!(
                "| {size} | {what} | {plain:.2} s ({:.0}/s) | {muster:.2} s ({:.0}/s) | {:.2} | {} | {} |",
                size as f64 / plain,
                size as f64 / muster,
                muster / plain,
                cell(self.median(others[0])),
                cell(self.median(others[1])),
            );
        }
    }
}

async fn namespace(client: &Client, name: &str) {
    let namespace: Namespace =
        serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap();
    Api::all(client.clone())
        .create(&Default::default(), &namespace)
        .await
        .unwrap();
}

#[tokio::main]
async fn main() {
    tests::logs::capture_as_usual();
    let numbers: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    let (sizes, rounds) = match numbers[..] {
        [objects, rounds] => (vec![objects], rounds),
        _ => (SIZES.to_vec(), ROUNDS),
    };
    let Some(plane) = ControlPlane::start("c1", Profile::Server).await else {
        return;
    };
    let client = plane.client().await;
    for name in ["plain", "kubectl", "helm", "shop"] {
        namespace(&client, name).await;
    }
    // The sandbox's own cluster has nothing to do here.
    let stack = Stack::start(1).await;
    let mut upload = Upload::default();
    upload.cluster("sandbox", "real", "real: \"true\"", &plane.kubeconfig());
    stack.apply(upload).await.unwrap();
    let clients = [client.clone()];
    let (kubectl, helm) = (is_there("kubectl").await, is_there("helm").await);
    let kubeconfig = plane.kubeconfig_file();
    println!(
        "| objects | | plain loop, {} at a time | Muster | ratio | kubectl apply --server-side | helm |\n|---|---|---|---|---|---|---|",
        plain::AT_A_TIME
    );
    for size in sizes {
        let text: String = (0..size).map(plain::manifest).collect();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("objects.yaml");
        fs::write(&file, &text).unwrap();
        let chart = dir.path().join("chart");
        fs::create_dir_all(chart.join("templates")).unwrap();
        fs::write(
            chart.join("Chart.yaml"),
            "apiVersion: v2\nname: bench\nversion: 0.1.0\n",
        )
        .unwrap();
        fs::write(chart.join("templates/objects.yaml"), &text).unwrap();
        let (file, chart) = (file.to_str().unwrap(), chart.to_str().unwrap());
        let name = format!("bench-{size}");
        let dig = stack
            .approved(&name, &[App::new("a", text.as_str())], &on(&["real"]))
            .await;
        let mut times = Times::default();
        for round in 0..rounds {
            // Whoever comes second finds a server that is still busy with what the first one did.
            for turn in [round % 2, 1 - round % 2] {
                if turn == 0 {
                    times
                        .of("apply", plain::apply(&clients, "plain", size))
                        .await;
                    times
                        .of("delete", plain::delete(&clients, "plain", size))
                        .await;
                    continue;
                }
                times
                    .of("instantiate", async {
                        dig.instantiate().await.unwrap();
                        dig.until_settled().await;
                    })
                    .await;
                // The proof that nothing is left is part of it.
                times
                    .of("terminate", async {
                        dig.terminate().await.unwrap();
                        dig.until_settled().await;
                    })
                    .await;
            }
            if kubectl {
                let args = ["apply", "--server-side", "-n", "kubectl", "-f", file];
                times
                    .of("kubectl", ran("kubectl", &kubeconfig, &args))
                    .await;
                plain::delete(&clients, "kubectl", size).await;
            }
            if helm {
                let args = ["install", "bench", chart, "-n", "helm"];
                times.of("helm", ran("helm", &kubeconfig, &args)).await;
                let args = ["uninstall", "bench", "-n", "helm"];
                times
                    .of("helm uninstall", ran("helm", &kubeconfig, &args))
                    .await;
            }
        }
        times.print(size);
    }
    stack.end().await;
}
