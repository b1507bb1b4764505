"""Invoke's door: the commands as one collection. Flags in, exit code out; they live in cli_make, cli_check and cli_look."""

from __future__ import annotations

from invoke import Collection

from buildlib.cli_check import bench, lint, smoke, test, verify
from buildlib.cli_look import ci, config, doctor, explain, plan, report, setup
from buildlib.cli_make import build, create, dockerfile, image, inspect, remove

namespace = Collection(
    build, image, dockerfile, verify, lint, test, bench, smoke, plan, report, config, ci, doctor, setup, explain
)
namespace.add_collection(Collection("builder", inspect, create, remove))
