//! The command line of `muster-dev`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

/// The embedded stack on one machine: Temporal, the store, api, worker and sandbox clusters.
#[derive(Debug, Parser)]
#[command(name = "muster-dev", version)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything and stay up until Ctrl-C.
    Up(Up),
    /// Take a real application through approve, instantiate, a lost cluster and terminate, and say
    /// what was proven.
    Demo(Demo),
    /// Faults and request logs of the running stack's clusters.
    #[command(subcommand)]
    Sandbox(Sandbox),

    /// The api, as a child of `up`.
    #[command(hide = true)]
    Api(ApiChild),
    /// The worker, as a child of `up`.
    #[command(hide = true)]
    Worker(WorkerChild),
    /// The sandbox clusters, as a child of `up`.
    #[command(hide = true)]
    Clusters(ClustersChild),
    /// Another program that dies with the parent.
    #[command(hide = true)]
    Tether(Tether),
    /// The client, for the demo.
    #[command(hide = true, disable_help_flag = true)]
    Muster {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Clone, Default, Args)]
pub struct Up {
    /// Number of sandbox clusters [default: as at the last start, else 3].
    #[arg(long, env = "MUSTER_CLUSTERS")]
    pub clusters: Option<usize>,
    /// A real cluster behind the same fault switch, registered as real+NAME; may be given several
    /// times.
    #[arg(long = "cluster", value_name = "NAME=KUBECONFIG", value_parser = real_cluster)]
    pub real: Vec<(String, PathBuf)>,
    /// Command that the kubeconfig of a Cluster document may run to get credentials; may be given
    /// several times. None may by default.
    #[arg(
        long = "allow-exec",
        env = "MUSTER_ALLOW_EXEC",
        value_name = "COMMAND",
        value_delimiter = ','
    )]
    pub allow_exec: Vec<String>,
    /// Where everything is kept; made when absent [default: ~/.local/share/muster].
    #[arg(long, env = "MUSTER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the api serves gRPC [default: 127.0.0.1:7443, or a free port, kept in the data
    /// directory].
    #[arg(long, env = "MUSTER_GRPC", value_parser = crate::ports::parse_address)]
    pub grpc: Option<SocketAddr>,
    /// Where the api serves health and metrics over HTTP [default: 127.0.0.1:7080, or a free port].
    #[arg(long, env = "MUSTER_HTTP", value_parser = crate::ports::parse_address)]
    pub http: Option<SocketAddr>,
    /// A Temporal server of your own, HOST:PORT; `auto` starts its development server.
    #[arg(long, env = "MUSTER_TEMPORAL", default_value = "auto")]
    pub temporal: String,
    /// Start only these (any of temporal, clusters, api, worker), the rest is started by hand.
    #[arg(long, value_name = "LIST", value_delimiter = ',', ignore_case = true)]
    pub only: Vec<Part>,
    /// Write the endpoints as JSON to this file when everything is ready.
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Key file that seals Secrets and kubeconfigs [default: muster.key in the data directory, made
    /// when absent].
    #[arg(long, env = "MUSTER_KEY_FILE")]
    pub key_file: Option<PathBuf>,
}

/// A part of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    Temporal,
    Clusters,
    Api,
    Worker,
}

impl Up {
    /// Whether this part is ours to start.
    pub fn starts(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// End after the last step instead of leaving the stack up; the exit code says whether
    /// everything held.
    #[arg(long)]
    pub once: bool,
    /// Your own application: a manifest file or a folder of them [default: a sample shop].
    #[arg(long, value_name = "PATH")]
    pub manifests: Option<PathBuf>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Sandbox {
    /// Switch a fault of a cluster on.
    #[command(after_help = "Kinds:
  black-hole      connections are accepted, nothing is answered
  reset           connections are reset
  latency MS      every request waits so long
  late MS         requests reach the cluster so much later, even if the client left
  status CODE     requests are answered with this HTTP status and not carried out
  drop-reply      requests are carried out, the answer is dropped
  hang-finalizer  objects get a finalizer that nobody serves

`GET /version` never counts against --times and --verb.")]
    Fault(Fault),
    /// Switch all faults of a cluster off.
    Heal(Target),
    /// Print the requests a cluster received, oldest first.
    Log {
        #[command(flatten)]
        target: Target,
        /// Form of the output.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Form,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    Table,
    Json,
}

#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Id (sandbox+c1) or name (c1).
    pub cluster: String,
    /// The stack's data directory [default: that of the running stack].
    #[arg(long, env = "MUSTER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct Fault {
    #[command(flatten)]
    pub target: Target,
    /// black-hole, reset, latency, late, status, drop-reply or hang-finalizer.
    pub kind: String,
    /// Milliseconds of latency and late, code of status.
    #[arg(value_name = "ARG")]
    pub arguments: Vec<String>,
    /// Only requests of this verb: apply, create, update, patch, delete, deletecollection, get, list
    /// or watch.
    #[arg(long)]
    pub verb: Option<String>,
    /// Only objects of this kind.
    #[arg(long = "kind", id = "object-kind", value_name = "KIND")]
    pub object_kind: Option<String>,
    /// Only the object of this name.
    #[arg(long)]
    pub name: Option<String>,
    /// Only so many requests, then the fault is over.
    #[arg(long)]
    pub times: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub struct ApiChild {
    #[arg(long)]
    pub store: String,
    #[arg(long)]
    pub temporal: Option<String>,
    #[arg(long)]
    pub grpc: SocketAddr,
    #[arg(long)]
    pub http: Option<SocketAddr>,
    #[arg(long)]
    pub key_file: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub struct WorkerChild {
    #[arg(long)]
    pub store: String,
    #[arg(long)]
    pub temporal: Option<String>,
    #[arg(long)]
    pub key_file: PathBuf,
    #[arg(long)]
    pub allow_exec: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub struct ClustersChild {
    #[arg(long)]
    pub data_dir: PathBuf,
    #[arg(long)]
    pub clusters: usize,
    #[arg(long = "cluster", value_parser = real_cluster)]
    pub real: Vec<(String, PathBuf)>,
}

#[derive(Debug, Clone, Args)]
pub struct Tether {
    /// The parent it was meant for.
    #[arg(long)]
    pub parent: u32,
    #[arg(last = true, required = true)]
    pub program: Vec<OsString>,
}

/// `NAME=KUBECONFIG`; the name becomes part of an id and of file names.
fn real_cluster(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text
        .split_once('=')
        .ok_or("write NAME=KUBECONFIG, for example edge=./edge.yaml")?;
    let fits = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if !fits {
        return Err(format!(
            "{name:?} is no name: lower case letters, digits and dashes"
        ));
    }
    if sandbox_name(name) {
        return Err(format!(
            "{name:?} is the name of a sandbox cluster; choose another"
        ));
    }
    if file.is_empty() {
        return Err("the kubeconfig is missing; write NAME=KUBECONFIG".to_owned());
    }
    Ok((name.to_owned(), PathBuf::from(file)))
}

/// `c1`, `c2` …
fn sandbox_name(name: &str) -> bool {
    name.strip_prefix('c')
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The program's arguments as typed, without a literal `--` in front of a verb's flags: `cargo
/// demo -- --once` passes it on.
pub fn without_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let verb = arguments.get(1).and_then(|verb| verb.to_str());
    if matches!(verb, Some("up" | "demo" | "sandbox"))
        && let Some(at) = arguments.iter().position(|argument| argument == "--")
    {
        arguments.remove(at);
    }
    arguments
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A panic is a test's way to say no.
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, String> {
        let words = without_dashes(line.split(' ').map(OsString::from));
        let parsed = Arguments::try_parse_from(words);
        parsed
            .map(|arguments| arguments.command)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_literal_double_dash_before_the_flags_is_dropped() {
        let Ok(Command::Demo(demo)) = parse("muster-dev demo -- --once --manifests ./x") else {
            panic!("a demo");
        };
        assert!(demo.once && demo.manifests == Some("./x".into()));
        let Ok(Command::Up(up)) = parse("muster-dev up -- --clusters 2") else {
            panic!("an up");
        };
        assert_eq!(up.clusters, Some(2));
        let Ok(Command::Tether(tether)) = parse("muster-dev tether --parent 1 -- sleep --help")
        else {
            panic!("a tether");
        };
        assert_eq!(tether.program, ["sleep", "--help"]);
    }

    #[test]
    fn parts_and_real_clusters_are_read_and_nonsense_is_refused() {
        let Ok(Command::Up(up)) =
            parse("muster-dev up --only temporal,clusters --cluster a=/k --cluster b-2=/l")
        else {
            panic!("an up");
        };
        assert!(up.starts(Part::Temporal) && !up.starts(Part::Worker));
        assert_eq!(up.real.len(), 2);
        for (line, reason) in [
            ("muster-dev up --only store", "invalid value"),
            ("muster-dev up --cluster A=/k", "lower case"),
            ("muster-dev up --cluster c1=/k", "sandbox cluster"),
            ("muster-dev up --cluster a", "NAME=KUBECONFIG"),
            ("muster-dev up --grpc 0.0.0.0:1", "loopback"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }

    #[test]
    fn faults_take_their_argument_and_a_filter() {
        let Ok(Command::Sandbox(Sandbox::Fault(fault))) = parse(
            "muster-dev sandbox fault sandbox+c1 status 503 --verb apply --kind Secret --times 2",
        ) else {
            panic!("a fault");
        };
        assert_eq!(fault.kind, "status");
        assert_eq!(fault.arguments, ["503"]);
        assert_eq!(fault.object_kind.as_deref(), Some("Secret"));
        assert_eq!(fault.times, Some(2));
    }
}
