"""The import path that other projects' noxfiles use; the sessions are defined in `buildlib.ci.nox_sessions`."""

from buildlib.ci.nox_sessions import sessions

__all__ = ["sessions"]
