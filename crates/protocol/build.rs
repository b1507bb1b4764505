//! Compiles proto/ with protox, a protobuf compiler written in Rust: no protoc is needed for the architecture of the build
//! machine.

const PROTOS: [&str; 2] = ["proto/placement.proto", "proto/journal.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    tonic_prost_build::configure().compile_fds(protox::compile(PROTOS, ["proto"])?)?;
    Ok(())
}
