//! What the services say to each other over gRPC, made from `proto/` when this crate is built.

/// Which nodes there are: `proto/placement.proto`.
pub mod placement {
    tonic::include_proto!("placement");
}

/// The append-only journal: `proto/journal.proto`.
pub mod journal {
    tonic::include_proto!("journal");
}
