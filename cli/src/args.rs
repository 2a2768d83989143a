//! The command line: flags that stand before or after the verb, and the verbs.

use crate::{output::Format, time::parse_duration};
use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, time::Duration};

/// Where the server listens when nobody says otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:7443";

/// Instantiates and terminates groups of applications on many Kubernetes clusters
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Examples:
  muster apply -f shop.yaml                         upload documents with the manifests they name
  muster approve shop/boutique                      let it be instantiated
  muster instantiate shop/boutique --wait           and follow it to the end
  muster status shop/boutique                       problems first, then every resource
  muster terminate shop/boutique --wait --yes       delete it everywhere

Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused, 5 timed out, 6 server unreachable."
)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flags of every command")]
pub struct Global {
    /// Project of names that are not written PROJECT/NAME
    #[arg(
        short,
        long,
        global = true,
        env = "MUSTER_PROJECT",
        default_value = "default",
        value_name = "PROJECT"
    )]
    pub project: String,

    /// Address of the Muster server; https:// for TLS
    #[arg(long, global = true, env = "MUSTER_SERVER", default_value = DEFAULT_SERVER, value_name = "URL")]
    pub server: String,

    /// Token that says who you are; better in the environment than on the command line
    #[arg(
        long,
        global = true,
        env = "MUSTER_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,

    /// PEM file of the certificate authority to trust, in place of the system's
    #[arg(long, global = true, env = "MUSTER_CA_CERT", value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,

    /// Form of the output
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value = "table",
        value_name = "FORMAT",
        hide_possible_values = false
    )]
    pub output: Format,

    /// Follow instantiate, terminate or retry to its final state
    #[arg(long, global = true)]
    pub wait: bool,

    /// Give up after this long (30s, 5m, 1h30m; 0 = never) with exit code 5; the lifecycle itself goes on
    #[arg(long, global = true, value_parser = parse_duration, value_name = "TIME")]
    pub timeout: Option<Duration>,

    /// Makes repeats of the same request have one effect and one answer (chosen at random otherwise)
    #[arg(long, global = true, value_name = "ID")]
    pub request_id: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Upload documents with the files they name: all of them, or none
    #[command(
        after_help = "Paths in documents are relative to the document; folders stand for their *.yaml, *.yml and *.json files, recursively.
Certificate, key and token files that a Cluster's kubeconfig names are sent as part of it, as they are now.

Examples:
  muster apply -f shop.yaml
  muster apply -f clusters/ -f shop.yaml
  helm template web ./chart | muster apply -f shop.yaml     # with `manifests: [\"-\"]` in shop.yaml"
    )]
    Apply(Apply),

    /// List clusters, apps, digs (deployment intent groups) or orphans, or show some by name
    #[command(after_help = "Examples:
  muster get dig
  muster get dig -A
  muster get cluster acme+edge-1 -o yaml
  muster get app shop/boutique/v1 -o json
  muster get orphans")]
    Get(Get),

    /// Show one thing in full: its document, its problems, its last 20 events
    #[command(after_help = "Examples:
  muster describe dig shop/boutique
  muster describe cluster acme+edge-1")]
    Describe(Describe),

    /// Delete documents; refused while a context that is not Terminated uses them
    #[command(after_help = "Examples:
  muster delete dig shop/boutique
  muster delete app shop/boutique/v1
  muster delete cluster acme+edge-1 acme+edge-2")]
    Delete(Delete),

    /// Allow a deployment intent group to be instantiated
    #[command(after_help = "Example:\n  muster approve shop/boutique")]
    Approve(DigVerb),

    /// Apply every resource of an approved deployment intent group to its clusters
    #[command(after_help = "Examples:
  muster instantiate shop/boutique
  muster instantiate shop/boutique --wait --timeout 10m")]
    Instantiate(DigVerb),

    /// Delete every resource of a deployment intent group from its clusters
    #[command(after_help = "Examples:
  muster terminate shop/boutique
  muster terminate shop/boutique --yes --wait
  muster terminate shop/boutique --abandon acme+edge-1     # it is gone for good, or will be back some day

What was possibly sent to an abandoned cluster goes to the orphan ledger (`muster get orphans`), and the
terminate ends without that cluster. It may be given for a terminate that is under way, too.")]
    Terminate(Terminate),

    /// End a running instantiate or terminate where it is: nothing more is sent, nothing is undone
    #[command(
        after_help = "What is there stays there. Afterwards retry goes on, and terminate deletes what was applied.

Example:
  muster stop shop/boutique"
    )]
    Stop(DigVerb),

    /// Go on with an instantiate or terminate that failed or was stopped: only what is not done is driven again
    #[command(after_help = "Examples:
  muster retry shop/boutique
  muster retry shop/boutique --wait --timeout 10m")]
    Retry(DigVerb),

    /// Collect or forget what terminates left behind on abandoned clusters; `get orphans` lists it
    Orphans(Orphans),

    /// Show how a deployment intent group is doing: problems first, then every resource
    #[command(after_help = "Examples:
  muster status shop/boutique
  muster status shop/boutique --state Failed
  muster status shop/boutique --cluster acme+edge-1 --resource Deployment/redis
  muster status shop/boutique --summary -o json
  muster status shop/boutique --watch

With --watch -o json each line is {\"status\": …} without resources, {\"resource\": …}, {\"removed\": …} or {\"synced\": true}.")]
    Status(Status),

    /// Show the operation log of a deployment intent group, oldest first
    #[command(after_help = "Examples:
  muster events shop/boutique
  muster events shop/boutique --tail 20
  muster events shop/boutique -o json")]
    Events(Events),

    /// Clusters themselves: `cluster check` says whether Muster can use them
    Cluster(Cluster),

    /// Print the script that completes commands in a shell
    #[command(after_help = "Examples:
  source <(muster completion bash)
  muster completion zsh > \"${fpath[1]}/_muster\"
  muster completion fish > ~/.config/fish/completions/muster.fish")]
    Completion(Completion),
}

#[derive(Debug, Args)]
pub struct Apply {
    /// File or folder of documents, or - for standard input; may be repeated
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    pub filename: Vec<String>,

    /// Check everything, store nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Get {
    /// cluster, app, dig or orphan, with any number of names; KIND/NAME works too
    #[arg(required = true, value_name = "KIND [NAME]")]
    pub target: Vec<String>,

    /// Deployment intent groups of every project
    #[arg(short = 'A', long)]
    pub all_projects: bool,
}

#[derive(Debug, Args)]
pub struct Describe {
    /// cluster, app or dig, and a name
    #[arg(required = true, value_name = "KIND NAME")]
    pub target: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// cluster, app or dig, and one or more names
    #[arg(required = true, value_name = "KIND NAME")]
    pub target: Vec<String>,

    /// Succeed where there is nothing to delete
    #[arg(long)]
    pub ignore_not_found: bool,

    /// Say whether it would be accepted, delete nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct DigVerb {
    /// Deployment intent group: NAME or PROJECT/NAME
    #[arg(value_name = "DIG")]
    pub dig: String,

    /// Say whether it would be accepted, change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Terminate {
    #[command(flatten)]
    pub verb: DigVerb,

    /// Do not ask; without a terminal nothing is asked anyway
    #[arg(short, long)]
    pub yes: bool,

    /// Give this cluster up: what is there goes to the orphan ledger; may be repeated
    #[arg(long, value_name = "PROVIDER+NAME")]
    pub abandon: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Orphans {
    #[command(subcommand)]
    pub verb: OrphansVerb,
}

#[derive(Debug, Subcommand)]
pub enum OrphansVerb {
    /// Delete the objects of the ledger that still carry the label of their life; all of them, or some
    #[command(after_help = "Examples:
  muster orphans collect
  muster orphans collect --cluster acme+edge-1
  muster orphans collect 17 18

Entries of clusters that do not answer are collected when they do.")]
    Collect(CollectOrphans),

    /// Take entries out of the ledger; what is on the clusters stays there
    #[command(
        after_help = "Example:\n  muster orphans forget 17 18 --reason \"the cluster was scrapped\""
    )]
    Forget(ForgetOrphans),
}

#[derive(Debug, Args)]
pub struct CollectOrphans {
    /// Numbers of entries; none means all
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,

    /// Only those of this cluster
    #[arg(long, value_name = "PROVIDER+NAME", conflicts_with = "ids")]
    pub cluster: Option<String>,

    /// Do not ask; without a terminal nothing is asked anyway
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct ForgetOrphans {
    /// Numbers of entries
    #[arg(required = true, value_name = "ID")]
    pub ids: Vec<String>,

    /// Why; kept in the log
    #[arg(long, value_name = "TEXT", required = true)]
    pub reason: String,

    /// Do not ask; without a terminal nothing is asked anyway
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct Status {
    /// Deployment intent group: NAME or PROJECT/NAME
    #[arg(value_name = "DIG")]
    pub dig: String,

    /// Only this app
    #[arg(long, value_name = "APP")]
    pub app: Option<String>,

    /// Only this cluster
    #[arg(long, value_name = "PROVIDER+NAME")]
    pub cluster: Option<String>,

    /// Only resources of this name, or KIND/NAME
    #[arg(long, value_name = "RESOURCE")]
    pub resource: Option<String>,

    /// Only resources in this state: Pending, Applied, Retrying, Failed or Deleted; or Ready, NotReady, NotPresent
    #[arg(long, value_name = "STATE", ignore_case = true, value_parser = ["Pending", "Applied", "Retrying", "Failed", "Deleted", "Ready", "NotReady", "NotPresent"], hide_possible_values = true)]
    pub state: Option<String>,

    /// Counts and problems without the resources
    #[arg(long)]
    pub summary: bool,

    /// Go on showing changes until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
}

#[derive(Debug, Args)]
pub struct Events {
    /// Deployment intent group: NAME or PROJECT/NAME
    #[arg(value_name = "DIG")]
    pub dig: String,

    /// Only the last N
    #[arg(long, value_name = "N", conflicts_with = "limit", value_parser = clap::value_parser!(i32).range(1..))]
    pub tail: Option<i32>,

    /// At most N, the oldest of those
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub limit: Option<i32>,

    /// Only those with a greater sequence number
    #[arg(long, value_name = "SEQ", value_parser = clap::value_parser!(i64).range(0..))]
    pub after: Option<i64>,
}

#[derive(Debug, Args)]
pub struct Cluster {
    #[command(subcommand)]
    pub verb: ClusterVerb,
}

#[derive(Debug, Subcommand)]
pub enum ClusterVerb {
    /// Have a worker look at clusters now, and say in one sentence each whether they can be used
    #[command(
        after_help = "Looked at, in this order: kubeconfig, name (DNS), TCP, TLS, credentials (401), version, identity, permissions
(403: every verb Muster needs on the kinds it has there). Nothing is changed. Exit code 1 when one cannot be used.

Examples:
  muster cluster check
  muster cluster check acme+edge-1
  muster cluster check -o json"
    )]
    Check(Check),
}

#[derive(Debug, Args)]
pub struct Check {
    /// Clusters as PROVIDER+NAME; all of them when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Completion {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at once")]
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_tree_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_of_every_command_stand_before_or_after_the_verb() {
        for line in [
            "muster -p shop --server http://h:1 -o json --wait --timeout 5s --request-id r instantiate web",
            "muster instantiate web -p shop --server http://h:1 -o json --wait --timeout 5s --request-id r",
            "muster -p shop -o json instantiate --wait --timeout 5s web --request-id r --server http://h:1",
        ] {
            let arguments = parse(line).unwrap();
            let global = arguments.global;
            assert_eq!(
                (global.project.as_str(), global.server.as_str()),
                ("shop", "http://h:1"),
                "{line}"
            );
            assert_eq!((global.output, global.wait), (Format::Json, true), "{line}");
            assert_eq!(global.timeout, Some(Duration::from_secs(5)), "{line}");
            assert_eq!(global.request_id.as_deref(), Some("r"), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        for line in [
            "muster apply",
            "muster get",
            "muster status",
            "muster status web --state Gone",
            "muster events web --tail 0",
            "muster events web --tail 5 --limit 5",
            "muster instantiate web --timeout soon",
            "muster frobnicate",
            "muster get dig -o xml",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn verbs_that_are_not_built_are_absent_from_help() {
        let help = Arguments::command().render_long_help().to_string();
        for verb in ["plan", "update", "rollback", "migrate", "history", "replay"] {
            assert!(!help.contains(&format!("\n  {verb} ")), "{verb}");
        }
    }
}
