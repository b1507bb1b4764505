"""Pipelines of a workspace: sessions for nox, and a workflow for GitHub Actions that runs them.

Read `nox_sessions` first: its `sessions()` defines a session for each architecture, and `buildlib.sessions` is the import path of
other projects' noxfiles. `github` prints the workflow of `buildlib ci`, which runs these sessions and buildlib's own commands.

Nothing here may depend on report or cli; only `nox_sessions` imports nox.
"""
