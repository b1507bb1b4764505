"""The crates that a build compiles, and what they need of the machine.

Start with `graph`: the build scripts of a build, from cargo's unit graph. `host_tools` and `libraries` know from their tables which
programs crates run and which system libraries they link (`rows` has what the tables have in common, `system_deps` reads what crates
declare). `locked` searches Cargo.lock for names in these tables: most builds need no more. `linked` has the crates in a program,
`sbom` and `auditable` write them down.

This package must not import docker, requests, tenacity, invoke or nox, nor any package above `process`.
"""
