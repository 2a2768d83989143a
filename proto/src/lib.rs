//! The protobuf messages, clients and servers of `muster.v1`, generated from `proto/`; nothing else.

/// Package `muster.v1`.
pub mod v1 {
    #![allow(clippy::all, reason = "generated code")]
    tonic::include_proto!("muster.v1");

    /// The encoded `FileDescriptorSet` of the package and its imports, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/muster.v1.bin"));
}
