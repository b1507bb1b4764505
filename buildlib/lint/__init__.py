"""Portability problems in Dockerfiles, Cross.toml, cargo's configuration and GitHub's workflows.

The rooms, in import order; a room imports only rooms above it, and none touches the disk:

    source         a file's bytes, each where it was, and line numbers
    words          words that mean an architecture
    containerfile  a Dockerfile as stages of instructions
    script         what a script does, as data
    questions      what in a script asks for the architecture
    tree           shell text as a grammar sees it
    shell          shell text as what it does
    finding        what is found, and the table of rules (rules.toml)
    look           what rules ask of a file: scripts, what chooses, what variables hold
    downloads      BL001, and BL006 of downloads
    platforms      BL002, BL003, BL009
    triples        BL004
    variables      BL005, BL011
    branches       BL006 of what variables are set to, BL007
    compiling      BL008, BL010
    cargo          Cross.toml and .cargo/config.toml
    workflows      steps of GitHub's workflows
    check          one file of any kind; comments that take findings back
    fix            cures that need no thought
    formats        text, JSON, SARIF, annotations
"""
