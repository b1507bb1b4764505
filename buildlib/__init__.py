"""buildlib: verified binaries and images of a Rust workspace, for every architecture.

The packages, lowest layer first; each imports only packages before it (the contracts are in pyproject.toml):

    core        shared data types: targets, plans, requirements, settings, errors
    display     text for users: escaped, in tables, and how far a step is
    elf         what is in a program or a library, and whether it fits a target
    image_layers the files of an image's layers, which are not unpacked
    failures    a failed log -> class, cause, help, whether to retry
    machine     facts about this machine and the workspace, read once
    process     everything with side effects: runner, console, files, retries
    emulation   QEMU and binfmt_misc
    sysroot     system libraries of a target, from Debian's packages
    crates      the crates of a build, and what they need of the machine
    compiler_cache what compilers have made, shared by machines
    rust        from a target to a cargo command line
    binaries    compiled and verified files: build, gate, dist/
    lint        portability rules for Dockerfiles and what is beside them
    registry    registry access with retries for each request
    builder     the buildx builder and its command lines
    image_gate  whether an image, of whatever, fits its platforms
    base_images the images that a Dockerfile is built from, and their platforms
    signing     signatures and attestations, of images and of dist/
    smoke       containers of an image, and their checks
    assembly    how an image is built, checked, and then pushed, loaded or saved
    images      the images of binaries, and of the project's Dockerfiles
    testing     tests, benchmarks, and the command `smoke`
    shards      a command divided among machines, and `merge`
    doctor      requirements of this machine, and fixes
    ci          pipelines: nox sessions and GitHub Actions
    report      results for users and for programs
    usage       pages of help, and completion in shells
    cli         flags in, exit code out

rust/linker.py, emulation/sandbox.py and four modules of testing (test_runner, child_processes, private_binfmt, instruction_log) are
programs of their own: they run in every link, around programs that are not trusted, before every test binary, and to count
instructions, and import nothing of buildlib.
"""

__version__ = "0.1.0"
