//! The gRPC protocols of the services, generated from `proto/` when this crate is built.

/// The list of nodes: `proto/placement.proto`.
pub mod placement {
    tonic::include_proto!("placement");
}

/// The append-only journal: `proto/journal.proto`.
pub mod journal {
    tonic::include_proto!("journal");
}
