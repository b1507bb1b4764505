"""QEMU and binfmt_misc: how binaries and containers of another architecture start on this machine.

Read `qemu` first: the command line in front of a binary, and what its exit means. `binfmt` has the kernel's handlers, which start
containers, and the known flaws of QEMU versions. `apt_cache` plans the download of QEMU and C libraries without root, and
`exit_stub` makes tiny programs that show whether something starts, `launcher` those that start a program under QEMU.

Everything here is pure: it returns plans and texts, and starts nothing. Only lower packages may be imported.
"""
