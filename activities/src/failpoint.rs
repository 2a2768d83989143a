//! Pause points for tests (spec case 10c): between open and send. Absent from normal builds.

use model::ids::ResourceKey;

#[cfg(feature = "failpoints")]
static DIR: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();

/// Switches fail points on for this process: those whose file is in `dir`.
#[cfg(feature = "failpoints")]
pub fn look_in(dir: std::path::PathBuf) {
    let _ = DIR.set(dir);
}

/// Pauses while the file `before-send-<kind>-<name>` exists in the folder of [`look_in`]; the file
/// `….reached` stands while the attempt does.
#[cfg(feature = "failpoints")]
pub async fn before_send(key: &ResourceKey) {
    let Some(dir) = DIR.get() else { return };
    let name = format!("before-send-{}-{}", key.kind, key.name);
    let file = dir.join(&name);
    if !file.exists() {
        return;
    }
    let reached = dir.join(format!("{name}.reached"));
    let _ = std::fs::write(&reached, b"");
    while file.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let _ = std::fs::remove_file(&reached);
}

/// Nothing, in a normal build.
#[cfg(not(feature = "failpoints"))]
pub async fn before_send(_: &ResourceKey) {}
