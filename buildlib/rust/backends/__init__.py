"""The toolchains that compile and link for a target: zig, gcc and cross.

Start with `base`, the protocol that the three implement, then read `choice`, which picks one for a target. Each backend is
a module: its requirements, its environment for build scripts, its command line, and the oldest glibc that its binaries may
require. Nothing in this package runs a command.
"""
