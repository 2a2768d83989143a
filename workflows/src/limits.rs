//! Every limit, timeout and retry policy of the engine (protocol §9).

use std::time::Duration;

/// Task queue of lifecycles and their work.
pub const QUEUE: &str = "muster";
/// Task queue of activities that wait, so that they eat no slots of those that work.
pub const WATCH_QUEUE: &str = "muster-watch";

/// W: no byte of a request leaves later than this after its open began.
pub const SEND_WINDOW: Duration = Duration::from_millis(500);
/// Network delay allowed for in `effect_until`.
pub const EFFECT_SLACK: Duration = Duration::from_secs(10);
/// Request time-out of a local (first) attempt.
pub const LOCAL_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// Request time-out of a promoted attempt.
pub const REGULAR_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A cluster that did not answer this process for so long gets a hello before anything is opened.
pub const HELLO_AFTER: Duration = Duration::from_secs(10);
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(1);
/// What a probe gives a cluster that did not say hello in that time: one that answers now is slow,
/// not dead. Hello and identity together stay below [`AWAIT_START_TO_CLOSE`].
pub const SLOW_HELLO_TIMEOUT: Duration = Duration::from_millis(2_800);
/// A cluster whose hello took longer is slow: its first attempts are regular ones.
pub const SLOW_ABOVE: Duration = Duration::from_millis(500);

/// Resources driven by one workflow; a larger context is cut into slices.
pub const INLINE_ROWS: usize = 2_000;
pub const INLINE_BUNDLES: usize = 20;
/// Local activities in flight per workflow.
pub const WINDOW: usize = 32;
/// Waves larger than this put up to [`CHUNK_ROWS`] rows into one activity.
pub const CHUNK_ABOVE: usize = 64;
pub const CHUNK_ROWS: usize = 32;
/// Such activities at once on one cluster, which share its connections: these stay busy while a
/// batch ends and the next one begins, and every batch fills a transaction.
pub const CHUNKS_PER_CLUSTER: usize = 4;
/// Promoted activities in flight per workflow.
pub const RETRY_SLOTS: usize = 20;
/// Requests in flight per cluster and process: [`REQUESTS_FEW`] while at most
/// [`FEW_CLUSTERS`] clusters are active, else [`REQUESTS_MANY`].
pub const REQUESTS_FEW: usize = 32;
pub const REQUESTS_MANY: usize = 8;
pub const FEW_CLUSTERS: usize = 8;
/// Rows opened at once for each free connection, at most: as many as a cluster that answers fast
/// takes one after the other within a quarter of [`SEND_WINDOW`].
pub const ROUNDS: usize = 16;
/// Results after which a workflow ends its task: the markers of one task travel in one message.
pub const RESULTS_PER_TASK: u32 = 1_000;
/// Clusters whose proof is taken by one activity.
pub const PROOF_CLUSTERS: usize = 32;

/// A look at a cluster for a person: the whole of it, and one request of it.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(20);
pub const CHECK_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks at readiness that is waited for: first and longest pause.
pub const READY_LOOK: Duration = Duration::from_millis(250);
pub const READY_LOOK_MAX: Duration = Duration::from_secs(1);
/// A watcher goes on elsewhere after so long, so that workers that came later get their share.
pub const WATCH_ROUND: Duration = Duration::from_secs(30 * 60);
pub const WATCH_START_TO_CLOSE: Duration = Duration::from_secs(35 * 60);
/// A watcher whose worker died begins anew elsewhere after so long.
pub const WATCH_HEARTBEAT: Duration = Duration::from_secs(5);
/// A watcher that gave no sign of life for so long is started again.
pub const WATCH_STALE: Duration = Duration::from_secs(15);
/// Entries of the orphan ledger that one visit of the collector takes, and its looks for the end of
/// a delete (25 ms, 25 ms, 50 ms …).
pub const COLLECT_ORPHANS: u64 = 64;
pub const COLLECT_LOOKS: u32 = 4;
/// One visit, and how often it is tried before the next one is waited for.
pub const COLLECT_START_TO_CLOSE: Duration = Duration::from_secs(180);
pub const COLLECT_ATTEMPTS: u32 = 5;
/// How often it is looked for clusters that are due for a visit.
pub const COLLECT_SWEEP: Duration = Duration::from_secs(30);

/// Probing of a parked cluster: first interval, factor, longest interval.
pub const PROBE_INITIAL: Duration = Duration::from_secs(1);
pub const PROBE_BACKOFF: f64 = 2.0;
pub const PROBE_MAX: Duration = Duration::from_secs(10);

pub const WORKFLOW_TASK_TIMEOUT: Duration = Duration::from_secs(3);
pub const REGULAR_START_TO_CLOSE: Duration = Duration::from_secs(40);
pub const REGULAR_HEARTBEAT: Duration = Duration::from_secs(3);
pub const AWAIT_START_TO_CLOSE: Duration = Duration::from_secs(6);
/// Above the longest local attempt: a request of [`LOCAL_REQUEST_TIMEOUT`], a hello, and the store.
pub const LOCAL_START_TO_CLOSE: Duration = Duration::from_secs(10);
