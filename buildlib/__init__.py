"""buildlib: verified binaries and images of a Rust workspace, for every architecture.

The rooms, in import order; a room imports only rooms above it:

    errors      what can go wrong, each with its cure and exit code
    targets     one row per architecture, every spelling in it
    log         a tool's log as lines that can be judged
    plan        Step, Job, Need, Outcome, Report: the data that flows
    failures    a tool's output -> class, cause, retry or not
    redact      secrets out of text
    network     the way to a registry, leg by leg, and what to change
    config      settings: defaults < file < environment < flags
    rust        the compilers of this machine, their std, the pin
    dockerd     the Docker daemon that the command `docker` talks to
    host        what else this machine has; read once, never changed
    workspace   `cargo metadata` -> binaries, and the host tools its crates want
    toolchain   the standard library a target needs, and how to get each
    artifacts   ELF file -> facts; facts against a target
    libtest     what Rust's test harness said -> suites of cases
    junit       those as JUnit XML
    emulation   QEMU lines for a binary of another architecture, and what proves that it ran there
    handlers    what starts a container of another architecture: binfmt_misc, and QEMU's versions
    debs        QEMU and C libraries unpacked into the cache, without root
    counts      benches under emulation: instructions, never a time
    backends    zig, gcc or cross for a target, and why
    environment what cargo's children see: variables and small scripts
    cargo       the line that starts with cargo, cargo-zigbuild or cross
    nextest     the same tests by cargo-nextest
    dist        dist/<arch>/<binary>, manifest.json, SHA256SUMS
    oci         an image's layer, configuration, manifest and index, as bytes
    dockerfile  the Dockerfile of a workspace, from its settings; and the one that looks into an image
    builder     the buildx builder that is wanted, and how one that is there differs
    buildx      docker buildx as command lines, and what it answers
    containers  what images want of an engine, and of the disk
    tiny        programs of a few bytes that end with 0
    workflow    a workspace's workflow for GitHub Actions
    doctor      needs minus machine, and the cures as a plan
    console     the only voice
    files       writing whole or not at all; folders that one process holds
    journal     what ran when, and how large it was, over many runs
    output      what a running step says
    retry       when a passing fault is tried again; the budget of a run
    exchange    a request to a registry, and what came of it
    registry    a registry's client that retries each request
    relay       one connection of the gateway's
    gateway     that client on the loopback, for buildx and BuildKit
    runner      the only hand: subprocesses, and the record of what failed
    context     what every command starts from
    provision   the climb to a std for every target; setup
    build       the main flow: compile, gate, dist/; verify
    testing     a target's tests: compiled, run where they belong, reported
    benching    a target's benches: criterion, or counted
    image       what an image is made of; OCI layouts without Docker
    smoke       images as containers, asked what they promise
    uplink      how buildx gets to the registries
    inspection  an image in its registry: each platform's program, held against the gate
    engine      the builder, made and shown; compiling in a container
    assemble    one image through buildx: built, and looked into
    push        images in a registry: by digest, checked, then tagged
    local       images in layouts and in the Docker daemon
    linting     the command `lint`: which files; the rules are in lint/, a house of its own
    images      the command `image`: binaries first, then all images side by side
    checkup     the command `doctor`: all of that, and the cures
    survey      goes that way once, and takes the time
    page        the journal as one HTML page
    report      results as tables and JSON
    outcomes    the same for tests, images and benches
    door        what every command enters by
    cli_make    Invoke's commands that make something
    cli_check   that prove it
    cli_look    that look, and `setup`
    cli         all of them as one collection
    program     the console script
    sessions    nox's sessions for each architecture

linker.py, harness.py and tally.py are programs of their own, run in every link, before every test binary, and to count
instructions; __main__.py is `python -m buildlib`.
"""

__version__ = "0.1.0"
