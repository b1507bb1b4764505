"""All commands as one collection: `invoke X` in a workspace with a tasks.py, `buildlib X` anywhere."""

from __future__ import annotations

from invoke.collection import Collection

from buildlib.cli.commands import builder
from buildlib.cli.commands.build import build
from buildlib.cli.commands.clean import clean
from buildlib.cli.commands.completion import completion
from buildlib.cli.commands.doctor import doctor, setup
from buildlib.cli.commands.explain import explain
from buildlib.cli.commands.image import dockerfile, image
from buildlib.cli.commands.lint import lint
from buildlib.cli.commands.merge import merge
from buildlib.cli.commands.plan import ci, config, plan, report
from buildlib.cli.commands.reproduce import reproduce
from buildlib.cli.commands.sign import sign
from buildlib.cli.commands.test import bench, smoke, test
from buildlib.cli.commands.verify import verify

namespace = Collection(
    build,
    image,
    merge,
    dockerfile,
    verify,
    sign,
    reproduce,
    lint,
    test,
    bench,
    smoke,
    plan,
    report,
    config,
    ci,
    doctor,
    setup,
    explain,
    completion,
    clean,
)
namespace.add_collection(Collection("builder", builder.inspect, builder.create, builder.remove))
