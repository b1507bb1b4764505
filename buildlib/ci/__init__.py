"""Pipelines of a workspace: sessions for nox, and the pipelines of GitHub Actions and GitLab that run them.

Read `nox_sessions` first: its `sessions()` defines a session for each architecture, and `buildlib.sessions` is the import path of
other projects' noxfiles. `command` is `buildlib ci`: `github` and `gitlab` write the files, which run these sessions and buildlib's
own commands; `project` says where the workspace is in its repository, `registry_login` how a job logs in.

Nothing here may depend on report or cli; only `nox_sessions` imports nox.
"""
