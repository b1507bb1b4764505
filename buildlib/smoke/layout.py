"""Check the images of an OCI image layout before any name refers to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from buildlib.core.cases import FAILED, Case, Suite
from buildlib.core.errors import BuildError, Interrupted
from buildlib.core.targets import Target
from buildlib.process.context import Context
from buildlib.process.files import blob_files
from buildlib.smoke import checks, containers, probe
from buildlib.smoke.containers import Daemon, reason, sdk_errors
from buildlib.smoke.expectation import Expectation
from buildlib.smoke.load import Blobs, loaded
from buildlib.smoke.trial import Trial

NO_DAEMON_HELP = "start Docker; images are started with it before they get their tags"


def run_layout(
    context: Context, layout: Path, images: Mapping[Target, str], expectation: Expectation
) -> dict[Target, Suite]:
    """The checks of every image in a layout on disk, several at a time.

    `images` maps a target to the digest of the manifest of its platform; `layout` may hold other images and attestations as well.
    Each image is in the daemon under a temporary name while it is checked; afterwards the daemon has the containers and images that
    it had before.

    Raises:
        MissingRequirements: No Docker daemon answers, or it cannot run the programs of a platform.
        Interrupted: The command was.
    """
    blobs = blob_files(layout)
    with containers.open_daemon(context, NO_DAEMON_HELP) as daemon:

        def check(item: tuple[Target, str]) -> Suite:
            return _check(daemon, blobs, *item, expectation)

        suites = dict(zip(images, daemon.concurrently(check, images.items()), strict=True))
        probe.require(daemon, context.host, (target for target, suite in suites.items() if probe.is_suspicious(suite)))
    return suites


def _check(daemon: Daemon, blobs: Blobs, target: Target, digest: str, expectation: Expectation) -> Suite:
    try:
        with loaded(daemon, blobs, digest, target) as image:
            return checks.suite(Trial(daemon=daemon, target=target, expectation=expectation, image=image))
    except Interrupted:
        raise
    except BuildError as error:
        detail = error.message
    except sdk_errors() as error:
        detail = reason(error)
    except OSError as error:  # a blob that cannot be read
        detail = str(error)
    return Suite(name=expectation.name, cases=(Case(name="load", result=FAILED, detail=detail),))
