"""`invoke X` here is `buildlib X` anywhere; another project writes this same line."""

from buildlib.cli.collection import namespace  # noqa: F401
