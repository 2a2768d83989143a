//! SIGKILL of the worker, the api, the Temporal server and of everything, each in the middle of an
//! instantiate and of a terminate: the lifecycle goes on by itself, to the same end.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proto::v1::ResourceState as R;
use sandbox::{control::Client as Control, host::FaultKind};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};
use tests::{
    Dig, clusters,
    documents::{self, App, Upload, config_maps, on},
    until,
};
use tonic::transport::Channel;

const CLUSTERS: [&str; 3] = ["c1", "c2", "c3"];

/// `muster-dev up` in a folder of its own.
struct Up {
    dir: PathBuf,
    dev: Child,
    ready: Value,
}

impl Up {
    async fn start(dir: &Path) -> Self {
        let file = dir.join("ready.json");
        let _ = std::fs::remove_file(&file);
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(dir.join("up.log"))
            .unwrap();
        let dev = Command::new(env!("CARGO_BIN_EXE_muster-dev"))
            .args(["up", "--clusters", "3", "--data-dir"])
            .arg(dir.join("data"))
            .arg("--ready-file")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let ready = until("the stack is up", || async {
            serde_json::from_slice(&std::fs::read(&file).ok()?).ok()
        })
        .await;
        Self {
            dir: dir.to_owned(),
            dev,
            ready,
        }
    }

    fn channel(&self) -> Channel {
        let grpc = self.ready["grpc"].as_str().unwrap();
        let url = if grpc.contains("://") {
            grpc.to_owned()
        } else {
            format!("http://{grpc}")
        };
        Channel::from_shared(url).unwrap().connect_lazy()
    }

    fn control(&self) -> Control {
        Control::from_dir(&self.dir.join("data")).unwrap()
    }

    fn pid(&self, part: &str) -> u64 {
        self.ready["pids"][part].as_u64().unwrap()
    }

    async fn kill(mut self, part: &str) -> Self {
        if part != "all" {
            kill(self.pid(part));
            return self;
        }
        for part in ["dev", "worker", "api", "temporal", "clusters"] {
            kill(self.pid(part));
        }
        self.dev.wait().unwrap();
        let dir = self.dir.clone();
        std::mem::forget(self);
        Self::start(&dir).await
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // SIGTERM: it takes its children with it.
        let _ = Command::new("kill").arg(self.dev.id().to_string()).status();
        let _ = self.dev.wait();
    }
}

fn kill(pid: u64) {
    let _ = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

async fn names_on(up: &Up, cluster: &str) -> BTreeSet<String> {
    let all = up.ready["clusters"].as_array().unwrap();
    let one = all.iter().find(|c| c["name"] == cluster).unwrap();
    let text = std::fs::read_to_string(one["kubeconfig"].as_str().unwrap()).unwrap();
    clusters::config_maps(&clusters::client(&text).await).await
}

async fn latency(up: &Up, ms: u64) {
    for cluster in CLUSTERS {
        if ms == 0 {
            up.control().heal(cluster).await.unwrap();
        } else {
            up.control()
                .fault(cluster, &FaultKind::Latency { ms }.into())
                .await
                .unwrap();
        }
    }
}

async fn killed(part: &str, during_terminate: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut up = Up::start(dir.path()).await;
    let names: Vec<String> = (0..60).map(|i| format!("m{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut upload = Upload::default();
    upload.app("x", "v1", &[App::new("a", config_maps(&names))]);
    upload.dig("x", &on(&CLUSTERS));
    documents::apply(up.channel(), upload).await.unwrap();
    let mut dig = Dig::new(up.channel(), "x");
    dig.approve().await.unwrap();
    let total = CLUSTERS.len() * names.len();

    latency(&up, 150).await;
    dig.instantiate().await.unwrap();
    dig.until("some Applied", |s| s.count(R::Applied) > 10)
        .await;
    if !during_terminate {
        up = up.kill(part).await;
        dig = Dig::new(up.channel(), "x");
    }
    // A killed cluster process forgets its faults; the others are healed here.
    latency(&up, 0).await;
    let status = dig.until_instantiated().await;
    assert_eq!(status.count(R::Applied), total);
    for cluster in CLUSTERS {
        assert_eq!(names_on(&up, cluster).await.len(), names.len());
    }

    latency(&up, 150).await;
    dig.terminate().await.unwrap();
    dig.until("some Deleted", |s| s.count(R::Deleted) > 10)
        .await;
    if during_terminate {
        up = up.kill(part).await;
        dig = Dig::new(up.channel(), "x");
    }
    latency(&up, 0).await;
    let status = dig.until_terminated().await;
    assert_eq!(status.count(R::Deleted), total);
    for cluster in CLUSTERS {
        assert!(names_on(&up, cluster).await.is_empty());
    }
}

macro_rules! each {
    ($($name:ident: $part:literal, $during:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            killed($part, $during).await;
        }
    )*};
}

each! {
    worker_killed_in_the_middle_of_instantiate: "worker", false;
    worker_killed_in_the_middle_of_terminate: "worker", true;
    api_killed_in_the_middle_of_instantiate: "api", false;
    api_killed_in_the_middle_of_terminate: "api", true;
    temporal_killed_in_the_middle_of_instantiate: "temporal", false;
    temporal_killed_in_the_middle_of_terminate: "temporal", true;
    everything_killed_in_the_middle_of_instantiate: "all", false;
    everything_killed_in_the_middle_of_terminate: "all", true;
}
