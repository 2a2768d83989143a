//! Copies the descriptor of Temporal's protos, which `temporalio-protos` publishes to its direct
//! dependents, to where `history.rs` includes it.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-env-changed=DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH");
    let source = env::var("DEP_TEMPORALIO_PROTOS_DESCRIPTOR_PATH")?;
    println!("cargo:rerun-if-changed={source}");
    fs::copy(
        source,
        Path::new(&env::var("OUT_DIR")?).join("descriptors.bin"),
    )?;
    Ok(())
}
