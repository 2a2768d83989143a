//! The development server's flags, and one that lives as long as a value.

use crate::{Boxed, Client, Server, TemporalError};
use std::{
    ffi::OsString,
    fs::File,
    io::Read,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use temporalio_client::{grpc::WorkflowService, tonic::IntoRequest};
use temporalio_protos::temporal::api::{
    namespace::v1::NamespaceConfig, workflowservice::v1::UpdateNamespaceRequest,
};

const READY_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(25);
const ONE_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How to start it. Everything binds the loopback.
#[derive(Debug, Clone)]
pub struct DevServer {
    pub binary: PathBuf,
    /// SQLite file; `None` keeps everything in memory.
    pub file: Option<PathBuf>,
    pub port: u16,
    /// `None`: no web UI.
    pub ui_port: Option<u16>,
    /// Where it writes its warnings; `None`: nowhere.
    pub log: Option<PathBuf>,
}

impl DevServer {
    /// The command line after the binary.
    ///
    /// WAL makes the file 2.5 times faster; only Temporal's file may run with
    /// `synchronous=normal` (the truth is in our store). The dynamic values: no 50 ms per hop of
    /// the transfer queue, timers below a second stay short, a terminate need not wait until the
    /// context's last run began a second ago (nor a run that continues as new), cancellations are
    /// pushed to workers, and no look for newer versions.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = ["server", "start-dev", "--log-level", "warn"]
            .iter()
            .map(OsString::from)
            .collect();
        let mut add = |flag: &str, value: OsString| {
            arguments.push(flag.into());
            arguments.push(value);
        };
        add("--ip", "127.0.0.1".into());
        add("--port", self.port.to_string().into());
        if let Some(file) = &self.file {
            add("--db-filename", file.into());
            add("--sqlite-pragma", "journal_mode=wal".into());
            add("--sqlite-pragma", "synchronous=normal".into());
        }
        for value in [
            "history.transferProcessorMaxPollRPS=1000",
            "history.timerProcessorMaxTimeShift=\"10ms\"",
            "history.workflowIdReuseMinimalInterval=\"0s\"",
            "frontend.WorkerCommandsEnabled=true",
            "system.enableCancelActivityWorkerCommand=true",
            "frontend.enableServerVersionCheck=false",
        ] {
            add("--dynamic-config-value", value.into());
        }
        match self.ui_port {
            Some(port) => add("--ui-port", port.to_string().into()),
            None => arguments.push("--headless".into()),
        }
        arguments
    }

    /// Its environment beside the inherited one: no version check.
    pub fn environment(&self) -> [(&'static str, &'static str); 1] {
        [("TEMPORAL_VERSION_CHECK_DISABLED", "1")]
    }

    /// Starts it and waits until it answers. It ends with the value that is returned.
    pub fn start(mut self) -> Boxed<'static, Result<Running, TemporalError>> {
        Box::pin(async move {
            if self.port == 0 {
                self.port = free_port()?;
            }
            let said = || match &self.log {
                Some(file) => File::options()
                    .create(true)
                    .append(true)
                    .open(file)
                    .map(Stdio::from),
                None => Ok(Stdio::null()),
            };
            let unwritable =
                |error| TemporalError::permanent("open the development server's log", error);
            let mut command = std::process::Command::new(&self.binary);
            command
                .args(self.arguments())
                .envs(self.environment())
                .stdin(Stdio::null())
                .stdout(said().map_err(unwritable)?)
                .stderr(said().map_err(unwritable)?);
            let child = command.spawn().map_err(|error| {
                let cause = format!("{}: {error}", self.binary.display());
                TemporalError::permanent("start the development server", cause)
            })?;
            let address = format!("127.0.0.1:{}", self.port);
            let child = Mutex::new(child);
            let running = Running { address, child };
            running.client().await?;
            Ok(running)
        })
    }
}

/// A development server that is killed when this value goes.
#[derive(Debug)]
pub struct Running {
    pub address: String,
    child: Mutex<Child>,
}

impl Running {
    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client of its namespace `default`, once it answers.
    pub async fn client(&self) -> Result<Client, TemporalError> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let server = Server {
                address: Some(self.address.clone()),
                namespace: Some("default".into()),
            };
            let tried = match Client::connect_only(server).await {
                Ok(client) => match keep_histories(&client, 1).await {
                    Ok(()) => return Ok(client),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if let Ok(Some(status)) = self.child().try_wait() {
                let cause = format!("it ended by itself: {status}");
                return Err(TemporalError::permanent(
                    "start the development server",
                    cause,
                ));
            }
            if !tried.transient || Instant::now() > deadline {
                return Err(tried);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sets how long the client's namespace keeps closed histories; also proves that the namespace is
/// there, which on a fresh server comes a moment after the port.
pub fn keep_histories(client: &Client, days: u32) -> Boxed<'_, Result<(), TemporalError>> {
    Box::pin(async move {
        let mut request = UpdateNamespaceRequest {
            namespace: client.namespace().to_owned(),
            config: Some(NamespaceConfig {
                workflow_execution_retention_ttl: ONE_DAY.saturating_mul(days).try_into().ok(),
                ..Default::default()
            }),
            ..Default::default()
        }
        .into_request();
        request.set_timeout(Duration::from_secs(5));
        let mut connection = client.inner.connection().clone();
        WorkflowService::update_namespace(&mut connection, request)
            .await
            .map(|_| ())
            .map_err(|status| TemporalError::rpc("set the namespace's retention", &status))
    })
}

/// A port for a child that binds it in a moment. Meanwhile nobody is given it by chance: a port
/// whose last connection ended on this side may for a minute only be bound by its number.
pub fn free_port() -> Result<u16, TemporalError> {
    let reserve = || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mut there = TcpStream::connect(address)?;
        let (here, _) = listener.accept()?;
        // Whoever closes first remembers.
        drop(here);
        there.read_to_end(&mut Vec::new())?;
        Ok(address.port())
    };
    reserve().map_err(|error: std::io::Error| TemporalError::permanent("find a free port", error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a failed test may panic
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_free_port_is_remembered_by_the_kernel_and_may_be_bound() {
        let port = free_port().unwrap();
        // Local address and state: 6 is TIME_WAIT.
        let remembered = format!("0100007F:{port:04X}");
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let mut rows = table.lines().map(str::split_whitespace);
        assert!(
            rows.any(|mut row| { row.nth(1) == Some(&remembered) && row.nth(1) == Some("06") })
        );
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[tokio::test]
    async fn a_server_that_ends_by_itself_is_not_waited_for() {
        let server = DevServer {
            binary: "false".into(),
            file: None,
            port: 0,
            ui_port: None,
            log: None,
        };
        let why = server.start().await.unwrap_err();
        assert!(why.to_string().contains("ended by itself"), "{why}");
    }

    #[test]
    fn the_server_listens_on_the_loopback_and_its_file_is_in_wal_mode() {
        let line = |server: &DevServer| {
            let arguments = server.arguments();
            let words: Vec<_> = arguments.iter().map(|a| a.to_string_lossy()).collect();
            words.join(" ")
        };
        let mut server = DevServer {
            binary: "temporal".into(),
            file: Some("/d/temporal.db".into()),
            port: 7233,
            ui_port: Some(8233),
            log: None,
        };
        let with_ui = line(&server);
        for part in [
            "--ip 127.0.0.1 --port 7233",
            "--db-filename /d/temporal.db",
            "journal_mode=wal",
            "--ui-port 8233",
        ] {
            assert!(with_ui.contains(part), "{with_ui}");
        }
        server.file = None;
        server.ui_port = None;
        let bare = line(&server);
        assert!(
            bare.contains("--headless") && !bare.contains("pragma"),
            "{bare}"
        );
    }
}
