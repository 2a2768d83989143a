//! Compiles the protobuf files without a protoc on the machine: protox makes the descriptor set,
//! which becomes both the generated code and the data of gRPC reflection.

use prost::Message;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let files = [
        "resource",
        "document_service",
        "lifecycle_service",
        "orphan_service",
    ]
    .map(|name| format!("proto/muster/v1/{name}.proto"));
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(&files, ["proto"])?;
    let out = env::var("OUT_DIR")?;
    fs::write(
        Path::new(&out).join("muster.v1.bin"),
        descriptors.encode_to_vec(),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
