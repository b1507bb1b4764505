"""System libraries for a target, without root and without a container: Debian packages, unpacked into a sysroot in the cache.

Read `install` first: it provides the sysroot of each target that the settings `libraries` and `suite` describe. `apt` has the
configuration and the commands of a private apt, and reads its answers; `tree` reads what was unpacked.

Must not start processes or open connections itself, nor know Rust: what a sysroot means for cargo is in `rust.environment`.
"""
