"""Parse Dockerfiles, shell scripts and TOML files; rules decide what is a problem.

Start with `containerfile.read`, which turns the bytes of a Dockerfile (`source`) into stages of instructions, and `shell.read`, which
turns the shell text of an instruction into commands, assignments and choices by architecture (the data types are in `script`).
`mask` hides shell text from the grammar of Dockerfiles, `shell_tree` hides from the grammar of bash what it cannot parse, and
`shell_words` finds the command, or the script, behind `sudo` and `sh -c`.
`arch_words` knows how architectures are spelled, `arch_tests` which tests of a script ask for one. `toml_file` reads Cross.toml and
.cargo/config.toml.

This package gets bytes and opens no file. It must not import anything of buildlib outside itself.
"""
