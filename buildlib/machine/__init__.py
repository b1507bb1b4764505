"""Facts about this machine and the workspace, read once.

Read `host` first: `probe` fills a `Host`, planners read it, and tests invent one. `rust_toolchains` finds the compilers,
`docker_daemon` the container engine and its credentials. `workspace` reads `cargo metadata`, `glibc` the C library of a cross
compiler, and `installation` the source of this buildlib.

Nothing here changes the machine. Only `core` and `failures` may be imported; subprocess and docker only for questions.
"""
