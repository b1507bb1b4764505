"""Shared data types: targets, plans, requirements, settings and errors.

Read `targets` first (one row per architecture), then `plan` (what planners return and the runner executes). `settings` declares every
setting, `layers` merges the files, the environment and the flags, and `values` checks one value against its declaration.

Nothing here has side effects, except that `layers.files` reads two files, and for what runs at once and ends with the command
(`stopping`, `workers`, `repeated`). Nothing imports another package of buildlib.
"""
