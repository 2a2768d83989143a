//! What a worker's operator may set.

/// Configuration of the activities.
#[derive(Debug, Clone)]
pub struct ActivitiesConfig {
    /// Name of this process in probe leases and logs.
    pub holder: String,
    /// Commands that kubeconfigs may run to get credentials; empty = none.
    pub allowed_exec: Vec<String>,
}

impl Default for ActivitiesConfig {
    fn default() -> Self {
        let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "worker".to_owned());
        Self {
            holder: format!("{host}/{}", std::process::id()),
            allowed_exec: Vec::new(),
        }
    }
}
