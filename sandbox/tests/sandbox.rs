//! The sandbox as its clients see it.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod suite {
    mod host_faults;
    mod host_peer;
    mod host_pocket;
    mod host_serving;
    mod host_world;
    mod kube_apply;
    mod kube_delete;
    mod kube_errors;
    mod kube_kubectl;
    mod kube_read;
    mod kube_recorded;
    mod kube_workloads;
    mod kube_world;
}
