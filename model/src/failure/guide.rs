//! What each failure means and what to do about it: said once, for status, `cluster check`, and
//! `docs/failures.md`, which is written from this table.

/// One failure, by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guide {
    /// As in `problems[].code` of a status.
    pub code: &'static str,
    /// What the user reads. A word in capitals stands for something of the case.
    pub sees: &'static str,
    /// What it means.
    pub means: &'static str,
    /// What Muster does about it.
    pub does: &'static str,
    /// What the reader can do.
    pub next: &'static str,
}

const PARKS: &str = "parks the cluster behind one probe over all workers (1 s, 2 s, … 10 s apart); everything elsewhere goes on; notices within 2 s of a probe that works";
const RETRIES: &str =
    "retries by policy.retry, a Retry-After honoured, until policy.retry.maxElapsed";
const FAILS: &str =
    "no retry can help: the resource is Failed at once, everything that does not need it goes on";
const WAITS: &str = "waits; nothing is lost";

const AGAIN_NOTHING: &str = "nothing, unless it lasts: Muster tries again by itself";

/// Worst first, as far as codes have an order; grouped by who is to blame.
pub const GUIDES: &[Guide] = &[
    Guide {
        code: "temporalUnreachable",
        sees: "Temporal is unreachable: CAUSE",
        means: "muster-api cannot reach Temporal; verbs are accepted and nothing moves",
        does: "keeps every accepted verb in the store and wakes its workflow when Temporal answers",
        next: "start Temporal, or correct --temporal of muster-api; accepted verbs go on by themselves then",
    },
    Guide {
        code: "noWorker",
        sees: "no worker takes work: CAUSE",
        means: "Temporal has the work, and no muster-worker asks for it",
        does: WAITS,
        next: "start `muster-worker run` with the same store and Temporal, or look at its log",
    },
    Guide {
        code: "storeLocked",
        sees: "the database is locked by another process: nothing can be recorded, so nothing is sent",
        means: "a backup, a shell or a stuck process holds SQLite's only write lock",
        does: "answers what is asked; verbs are refused with STORE_LOCKED and change nothing; work waits and goes on",
        next: "close what holds it (`fuser FILE` names it); what was accepted goes on by itself",
    },
    Guide {
        code: "unreachable",
        sees: "connect to HOST:PORT CAUSE",
        means: "the cluster's address accepts no connection, or accepts it and stays silent",
        does: PARKS,
        next: "check the cluster and the network to it; Muster goes on by itself when it answers",
    },
    Guide {
        code: "dns",
        sees: "the name HOST cannot be resolved",
        means: "no address is known for the server's name, where the worker runs",
        does: PARKS,
        next: "correct `server` in the kubeconfig and apply the Cluster document again, or mend the worker's DNS",
    },
    Guide {
        code: "tls",
        sees: "TLS: the certificate of HOST CAUSE",
        means: "the server was reached, and is not (or not provably) the one the kubeconfig speaks of",
        does: PARKS,
        next: "put the cluster's CA (or tls-server-name) into the kubeconfig and apply the Cluster document again",
    },
    Guide {
        code: "timeout",
        sees: "no answer within SECONDS s",
        means: "a request left and was not answered in time; what became of it is found out before anything is concluded",
        does: RETRIES,
        next: "check the cluster and the network to it; Muster goes on by itself when it answers",
    },
    Guide {
        code: "reset",
        sees: "connection lost before the answer came: CAUSE",
        means: "the connection broke while an answer was waited for; what became of the request is found out before anything is concluded",
        does: PARKS,
        next: "check the cluster and the network to it; Muster goes on by itself when it answers",
    },
    Guide {
        code: "kubeconfig",
        sees: "kubeconfig: CAUSE",
        means: "the kubeconfig cannot be used on the worker: it asks for a program that is not allowed, names files, or is damaged",
        does: PARKS,
        next: "correct the kubeconfig and apply the Cluster document again; programs it may run are named by --allow-exec of the worker",
    },
    Guide {
        code: "identityChanged",
        sees: "another cluster answers under the kubeconfig of CLUSTER: CAUSE",
        means: "the uid of the kube-system namespace is not the one seen before",
        does: "sends nothing to it, so that nothing is applied to, or deleted from, a stranger; probes on",
        next: "apply the Cluster document with the kubeconfig of the right cluster; a new cluster needs a name of its own",
    },
    Guide {
        code: "duplicateCluster",
        sees: "CLUSTER is the same cluster as OTHER: CAUSE",
        means: "two Cluster documents lead to one cluster; its objects would be owned twice",
        does: "uses the first name only; probes on",
        next: "delete one of the two Cluster documents, and let the placements name the other",
    },
    Guide {
        code: "identity",
        sees: "reading the kube-system namespace was answered with CODE",
        means: "the server answers, but not in a way that tells which cluster it is",
        does: PARKS,
        next: "check what stands in front of the API server (a proxy, a login page) and that it is ready",
    },
    Guide {
        code: "versionTooOld",
        sees: "Kubernetes VERSION is too old, 1.22 is the oldest with server-side apply",
        means: "the API server cannot do what Muster relies on",
        does: "tells so in `muster cluster check`; objects are refused by the server",
        next: "upgrade the cluster",
    },
    Guide {
        code: "unauthorized",
        sees: "the credentials are not accepted",
        means: "the API server does not know the kubeconfig's user: expired, revoked, or another cluster's",
        does: FAILS,
        next: "replace the cluster's credentials (`muster apply -f` the Cluster document), then `muster retry`",
    },
    Guide {
        code: "forbidden",
        sees: "the credentials may not VERB RESOURCE",
        means: "the kubeconfig's user lacks a permission",
        does: FAILS,
        next: "grant the missing permission on the cluster (`muster cluster check` lists all that is missing), then `muster retry`",
    },
    Guide {
        code: "quota",
        sees: "the quota QUOTA of the namespace is exceeded",
        means: "a ResourceQuota of the namespace leaves no room",
        does: FAILS,
        next: "raise the ResourceQuota or make room in the namespace, then `muster retry`",
    },
    Guide {
        code: "denied",
        sees: "the admission webhook WEBHOOK denied it",
        means: "a policy of the cluster does not want the object",
        does: FAILS,
        next: "change the manifest to what the webhook wants (`kubectl apply --dry-run=server` shows its words), apply it, then terminate and instantiate again",
    },
    Guide {
        code: "foreign",
        sees: "exists, managed by MANAGER",
        means: "an object of this name was there before and belongs to somebody else",
        does: "leaves it alone, now and on terminate; the resource is Failed",
        next: "remove the object, then `muster retry`; or set policy.existing: Adopt, terminate and instantiate again",
    },
    Guide {
        code: "conflict",
        sees: "conflict with MANAGER over FIELD",
        means: "another field manager owns a field of the object with another value",
        does: FAILS,
        next: "let go of the fields at the other manager, then `muster retry`; or set policy.forceConflicts, terminate and instantiate again",
    },
    Guide {
        code: "invalid",
        sees: "the object is invalid: FIELD",
        means: "the API server's validation refuses the object; the fields are named, their values never",
        does: FAILS,
        next: "correct the manifest, apply it, then terminate and instantiate again",
    },
    Guide {
        code: "badRequest",
        sees: "the cluster cannot read the object",
        means: "the object does not fit the kind's schema",
        does: FAILS,
        next: "correct the manifest, apply it, then terminate and instantiate again",
    },
    Guide {
        code: "tooLarge",
        sees: "the object is too large",
        means: "the API server takes no request of this size (413)",
        does: FAILS,
        next: "make the object smaller (annotations, embedded files), apply it, then terminate and instantiate again",
    },
    Guide {
        code: "methodNotAllowed",
        sees: "the kind does not allow it",
        means: "the kind cannot be applied or deleted (405)",
        does: FAILS,
        next: "take the object out of the manifests, apply them, then terminate and instantiate again",
    },
    Guide {
        code: "refused",
        sees: "the cluster refused it",
        means: "another answer of the 4xx kind",
        does: FAILS,
        next: "see `muster cluster check` and the API server's log, correct the cause, then `muster retry`",
    },
    Guide {
        code: "manifestMissing",
        sees: "the manifest is not in the store",
        means: "the store lost a manifest: it was restored in part, or changed by hand",
        does: FAILS,
        next: "apply the documents again, then terminate and instantiate again",
    },
    Guide {
        code: "namespaceNotFound",
        sees: "the namespace does not exist",
        means: "the object names a namespace that is not there and that no app brings",
        does: FAILS,
        next: "create the namespace, then `muster retry`; or add it to the manifests, terminate and instantiate again",
    },
    Guide {
        code: "noSuchKind",
        sees: "the cluster does not know this kind",
        means: "no CustomResourceDefinition for the kind, neither on the cluster nor in the app",
        does: "Failed at once after one more look; retried as long as a CRD of the same plan is on its way",
        next: "install the CustomResourceDefinition, then `muster retry`; or add it to the manifests, terminate and instantiate again",
    },
    Guide {
        code: "crdNotEstablished",
        sees: "NAME.GROUP: CAUSE",
        means: "the API server accepted the CRD and does not serve it yet, or never: its names clash",
        does: RETRIES,
        next: "see the CRD's conditions (`kubectl describe crd`); its custom resources follow by themselves",
    },
    Guide {
        code: "webhook",
        sees: "the webhook WEBHOOK does not answer",
        means: "an admission webhook that must be asked is down (500)",
        does: RETRIES,
        next: "check the admission webhook that the message names; Muster tries again by itself",
    },
    Guide {
        code: "groupSilent",
        sees: "VERSION does not say what it serves",
        means: "an APIService promises this API group and its server does not answer, so that nobody knows whether a namespace is empty; Kubernetes ends no namespace then either",
        does: "deletes everything else, and looks at the namespace again until the group answers or is gone",
        next: "bring the server of that API group back, or delete its APIService; Muster tries again by itself",
    },
    Guide {
        code: "tooManyRequests",
        sees: "the cluster asks for patience",
        means: "the API server limits requests (429)",
        does: RETRIES,
        next: AGAIN_NOTHING,
    },
    Guide {
        code: "serverError",
        sees: "the cluster failed",
        means: "an answer of the 5xx kind",
        does: RETRIES,
        next: AGAIN_NOTHING,
    },
    Guide {
        code: "unexpectedAnswer",
        sees: "unexpected answer (CODE)",
        means: "something answers that is no API server: a proxy, a login page",
        does: "believes nothing of it and retries",
        next: "check what stands in front of the API server; Muster tries again by itself",
    },
    Guide {
        code: "writeRace",
        sees: "the object changed meanwhile",
        means: "somebody else wrote the object at the same moment",
        does: RETRIES,
        next: AGAIN_NOTHING,
    },
    Guide {
        code: "uidChanged",
        sees: "the object changed meanwhile",
        means: "the object was deleted and made anew by somebody",
        does: "looks again, then retries",
        next: AGAIN_NOTHING,
    },
    Guide {
        code: "terminating",
        sees: "the object is being deleted",
        means: "an object of this name is on its way out",
        does: RETRIES,
        next: "wait until it is gone (its finalizers may hold it); Muster tries again by itself",
    },
    Guide {
        code: "terminatingNamespace",
        sees: "the namespace is being terminated",
        means: "the namespace is on its way out and takes nothing new",
        does: RETRIES,
        next: "wait until the namespace is gone; Muster tries again by itself",
    },
    Guide {
        code: "finalizers",
        sees: "waiting for finalizers: NAMES",
        means: "the delete was accepted; a controller has to take its finalizer off first",
        does: "waits until policy.deleteTimeout, then the resource is Failed",
        next: "see which controller owns the finalizer and why it does not finish, then `muster retry`",
    },
    Guide {
        code: "deleting",
        sees: "waiting until it is gone",
        means: "the delete was accepted and takes its time",
        does: "waits until policy.deleteTimeout, then the resource is Failed",
        next: "nothing, unless it lasts: see what the cluster waits for (`kubectl get -o yaml`)",
    },
    Guide {
        code: "notReady",
        sees: "0 of 2 replicas are available; the job failed …; condition Ready is False: REASON",
        means: "the object is applied, and says of itself that it is not (yet) as it should be, as kstatus reads it",
        does: "goes on watching; an instantiate with waitFor: Ready fails after policy.readyTimeout, or when a Job failed; a dependent waits",
        next: "see what the object says of itself (`kubectl describe`); Muster notices by itself when it is ready; if the instantiate failed for it, then `muster retry`",
    },
    Guide {
        code: "notPresent",
        sees: "is not on the cluster any more, or lost Muster's labels",
        means: "somebody deleted the object, or took Muster's labels off it",
        does: "says so as soon as the watch does; does not put it back",
        next: "terminate and instantiate again, or put the object back",
    },
    Guide {
        code: "lateRequest",
        sees: "a lost request may still arrive",
        means: "an apply was sent and its answer was lost; an absence proves nothing until it can no longer arrive",
        does: "waits that out (about 11 s, 41 s for a retried one), then looks again",
        next: "nothing: Muster waits out a request that may still arrive",
    },
    Guide {
        code: "blocked",
        sees: "waits for WHAT",
        means: "another app or resource comes first",
        does: WAITS,
        next: "nothing: it goes on by itself when that is done",
    },
    Guide {
        code: "waiting",
        sees: "waits",
        means: "its turn has not come",
        does: WAITS,
        next: "nothing: it goes on by itself when that is done",
    },
    Guide {
        code: "heldBack",
        sees: "not started: CAUSE",
        means: "what it needs has failed, so it was not sent",
        does: "goes on with it when the failed one is mended",
        next: "mend the failure that is named above, then `muster retry`",
    },
    Guide {
        code: "failFast",
        sees: "CAUSE",
        means: "another resource failed, and policy.onFailure is FailFast",
        does: "sends nothing more for this context; what was sent is a fact and stays",
        next: "mend the failure that is named, then `muster retry`",
    },
    Guide {
        code: "gone",
        sees: "the object is not there",
        means: "the object went away between two looks",
        does: RETRIES,
        next: AGAIN_NOTHING,
    },
    Guide {
        code: "store",
        sees: "database: CAUSE",
        means: "the store did not answer in the middle of a step",
        does: RETRIES,
        next: "check the database and the worker's log; Muster tries again by itself",
    },
    Guide {
        code: "retryTimeExceeded",
        sees: "retry time exceeded: CAUSE",
        means: "it was retried for policy.retry.maxElapsed",
        does: "gives up: the resource is Failed",
        next: "mend the cause, then `muster retry`; policy.retry.maxElapsed sets the limit",
    },
];

/// A refusal of a command for want of something that is not the user's, by the reason in its
/// `ErrorInfo` (`error.reason` with `-o json`).
pub const REFUSALS: &[Guide] = &[
    Guide {
        code: "UNAVAILABLE",
        sees: "cannot reach the server at URL: CAUSE",
        means: "no muster-api answers there",
        does: "lifecycles go on without it: workers need only the store and Temporal",
        next: "start muster-api, or name the right one with --server (MUSTER_SERVER)",
    },
    Guide {
        code: "STORE_UNAVAILABLE",
        sees: "the store is not there yet: CAUSE",
        means: "muster-api waits for its database, or the database did not answer",
        does: "asks it again every second; nothing was changed",
        next: "start the database, or correct --store; then try again",
    },
    Guide {
        code: "STORE_FULL",
        sees: "the disk of the database is full",
        means: "not a byte more fits on it",
        does: "refuses the verb; nothing was changed, and nothing that was answered is lost: work in flight waits and goes on when there is space",
        next: "free space on it, then try again",
    },
    Guide {
        code: "STORE_NOT_WRITTEN",
        sees: "the disk of the database does not take what is written",
        means: "the disk fails, or a quota or a limit on the size of files is reached",
        does: "refuses the verb; nothing was changed, and nothing that was answered is lost: work in flight waits and goes on when it is over",
        next: "look at the disk and its quotas, then try again",
    },
    Guide {
        code: "STORE_READ_ONLY",
        sees: "the database is read-only",
        means: "the user of this server may not write its file, or its folder",
        does: "refuses the verb; a server that was running before still shows what is stored; nothing was changed, and work waits and goes on when it may be written",
        next: "make it writable for the user of this server, then try again",
    },
    Guide {
        code: "STORE_NOT_OPENED",
        sees: "the database's file cannot be opened",
        means: "the rights of its folder forbid it, or the process has as many files open as it may",
        does: "tries again with every request; nothing was changed, and nothing that was answered is lost",
        next: "look at its folder's rights and at the limit of open files, then try again",
    },
    Guide {
        code: "STORE_LOCKED",
        sees: "the database is locked by another process, so nothing was changed",
        means: "a backup, a shell or a stuck process holds SQLite's only write lock",
        does: "waits for it up to half a minute, then refuses the verb; nothing was changed",
        next: "close what holds it (`fuser FILE` names it), then try again",
    },
    Guide {
        code: "NO_WORKER",
        sees: "CLUSTER cannot be checked, since no worker takes work: CAUSE",
        means: "only a worker talks to clusters, and none asks for work",
        does: "says so after three seconds; lifecycle verbs are accepted all the same and wait",
        next: "start `muster-worker run` with the same store and Temporal, or look at its log",
    },
    Guide {
        code: "TEMPORAL_UNREACHABLE",
        sees: "CLUSTER cannot be checked, since Temporal is unreachable: CAUSE",
        means: "muster-api cannot reach Temporal",
        does: "lifecycle verbs are accepted all the same and wait",
        next: "start Temporal, or correct --temporal of muster-api",
    },
    Guide {
        code: "WRONG_KEY",
        sees: "WHAT cannot be read with this server's key",
        means: "the key file is not the one the store was sealed with",
        does: "refuses to start, or to read that one thing",
        next: "start it with the key file of this installation",
    },
    Guide {
        code: "STORE_NEWER",
        sees: "the store was written by a later version of Muster",
        means: "a newer muster-api or muster-worker has migrated the schema",
        does: "refuses to start",
        next: "update this binary",
    },
];

/// What is known of a code.
pub fn guide(code: &str) -> Option<&'static Guide> {
    GUIDES.iter().find(|guide| guide.code == code)
}

/// What the reader can do about a cause; `retried` = Muster tries again by itself.
pub fn next_step(code: &str, retried: bool) -> &'static str {
    match guide(code) {
        Some(guide) => guide.next,
        None if retried => AGAIN_NOTHING,
        None => "see `muster events`; mend the cause, then `muster retry`",
    }
}

#[cfg(test)]
mod tests;
