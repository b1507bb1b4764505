"""The command `smoke`: start every image of every platform as a container, and check that it works."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from buildlib.assembly import spec
from buildlib.core.cases import FAILED, PASSED, Case, Suite
from buildlib.core.errors import TestsFailed, UsageError
from buildlib.core.targets import Target
from buildlib.emulation.qemu import is_native
from buildlib.images import binary_image, dockerfile_image
from buildlib.machine.workspace import Component
from buildlib.process.context import Context
from buildlib.smoke import checks
from buildlib.smoke.containers import Daemon, open_daemon
from buildlib.smoke.expectation import Expectation
from buildlib.smoke.pulls import Pulls
from buildlib.smoke.trial import Trial
from buildlib.testing import tests
from buildlib.testing.tests import TestResult


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeOptions:
    """Which images: of which targets, which the command line has `named` or not, and under which tag.

    `images` are those of the settings. Without a tag it is the version of a binary, and `latest` for an image of the settings;
    with `digests` it is what these name, and nothing else.
    """

    targets: tuple[Target, ...]
    named: bool = True
    images: tuple[str, ...] = ()
    tag: str = ""
    digests: Mapping[str, Mapping[str, str]] | None = None  # component -> platform -> in place of the tag


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """An image in the registry, and what must hold for it."""

    expectation: Expectation
    targets: tuple[Target, ...]
    tag: str
    digests: Mapping[str, str]  # platform -> digest, for platforms that are not asked for by the tag

    def version(self, target: Target) -> str:
        """The tag or digest of the image for the target."""
        return self.digests.get(target.oci, self.tag)


def smoke(context: Context, options: SmokeOptions) -> list[TestResult]:
    """The checks of every image, one suite for each component; one that fails does not stop the others. All platforms run at once.

    MissingRequirements without a Docker daemon, UsageError for options or settings that are wrong.
    """
    registry = spec.registry(context)
    spec.check_options(options.targets, (options.tag,) if options.tag else ())
    subjects = [
        _Subject(
            expectation=expectation(context, component),
            targets=options.targets,
            tag=options.tag or component.tag,
            digests=_digests(options, component.name, options.targets),
        )
        for component in context.selection.components
    ]
    for name in options.images:
        targets = dockerfile_image.targets_of(context, name, options.targets, named=options.named)
        subjects.append(
            _Subject(
                expectation=dockerfile_image.expectation(name, context.config.images[name]),
                targets=targets,
                tag=options.tag or dockerfile_image.TAG,
                digests=_digests(options, name, targets),
            )
        )
    targets = tuple(dict.fromkeys(target for subject in subjects for target in subject.targets))
    if not targets:
        raise UsageError(f"{', '.join(options.images)}: no such platform", "name one of its platforms with --arch")
    with open_daemon(context) as daemon:
        checks_of = _Checks(daemon, registry, subjects)
        try:
            return daemon.concurrently(lambda target: _check_part(context, checks_of, target), targets)
        finally:
            checks_of.close()


def _digests(options: SmokeOptions, name: str, targets: Sequence[Target]) -> Mapping[str, str]:
    """The digests of a component's images. UsageError for a platform of which there should be one."""
    if options.digests is None:
        return {}
    found = options.digests.get(name, {})
    missing = [target.oci for target in targets if target.oci not in found]
    if missing:
        help_text = "run `buildlib image --push --shard` for it first, or name images that are tagged with --tag"
        raise UsageError(
            f"{name}: this part has pushed no image for {', '.join(missing)} from these sources", help_text
        )
    return found


def expectation(context: Context, component: Component) -> Expectation:
    """What must hold for the image of a program of the workspace."""
    stage = binary_image.stage_of(context, component)
    return Expectation(
        name=component.name, version=component.version, ports=stage.runtime.ports, own_health=bool(stage.runtime.health),
        says=stage.says, strict=True, root_allowed=stage.runtime.user.partition(":")[0] in ("", "0", "root"),
    )  # fmt: skip


class _Checks:
    """The checks of all subjects. Those of several platforms share the name of their image."""

    def __init__(self, daemon: Daemon, registry: str, subjects: Sequence[_Subject]) -> None:
        self.daemon, self.subjects = daemon, subjects
        self._pulls: dict[tuple[str, str], Pulls] = {}
        for subject in subjects:
            name = subject.expectation.name
            for target in subject.targets:
                version = subject.version(target)
                repository = f"{registry}/{name.lower()}"  # as `image --push` names it
                self._pulls.setdefault((name, version), Pulls(daemon, repository, version))

    def suites(self, target: Target) -> list[Suite]:
        """The suites of one platform."""
        inside = [subject for subject in self.subjects if target in subject.targets]
        return self.daemon.concurrently(lambda subject: self._suite(target, subject), inside)

    def _suite(self, target: Target, subject: _Subject) -> Suite:
        name = subject.expectation.name
        with self.daemon.slots, self._pulls[name, subject.version(target)].image(target) as image:
            if isinstance(image, Case):
                return Suite(name=name, cases=(image,))
            return checks.suite(Trial(daemon=self.daemon, target=target, expectation=subject.expectation, image=image))

    def close(self) -> None:
        """Let the names of the images mean what they meant before."""
        for pulls in self._pulls.values():
            pulls.close()


def _check_part(context: Context, checks_of: _Checks, target: Target) -> TestResult:
    """The result of one platform, whose lines are shown together."""
    with context.console.part() as console:
        return _check_target(replace(context, console=console), checks_of, target)


def _check_target(context: Context, checks_of: _Checks, target: Target) -> TestResult:
    with context.console.fold(f"{target.name} · smoke"):
        began = time.monotonic()
        with context.console.busy(f"{target.name} · smoke"):
            suites = checks_of.suites(target)
        machines = (case.detail for suite in suites for case in suite.cases
                    if (case.name, case.result) == ("machine", PASSED))  # fmt: skip
        machine = next(machines, "")
        result = TestResult(
            session="smoke", target=target, emulator="" if is_native(context.host, target) else "binfmt", suites=tuple(suites),
            ran_on={"machine": machine} if machine else {}, seconds=time.monotonic() - began,
        )  # fmt: skip
        failed = [
            f"{suite.name}: {case.name}: {case.detail}"
            for suite in suites for case in suite.cases if case.result == FAILED
        ]  # fmt: skip
        if failed:
            more = f" and {len(failed) - 3} more" if len(failed) > 3 else ""
            error = TestsFailed(f"{target.name}: {'; '.join(failed[:3])}{more}")
            result = replace(result, error=error)
            context.console.error(error)
        tests.write_reports(context, result)
        return result
