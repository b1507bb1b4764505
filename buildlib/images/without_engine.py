"""Images without a container engine: each is made of dist/ and its base image, checked and started, then uploaded or written.

Which images can be made so: those whose stage buildlib itself describes. It copies files, makes directories and sets the
configuration, and runs nothing: users are numbers, which need no entry in /etc/passwd, volumes are directories with an owner, and
Debian packages of the settings are files beside the program in dist/. What runs commands needs an engine: Dockerfiles of a project,
a workspace's own Dockerfile, a compilation in a container. What is for an engine needs one too: --load.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from buildlib.core.errors import UsageError
from buildlib.core.plan import Step
from buildlib.images import dockerfile, workspace_dockerfile
from buildlib.process.context import Context

if TYPE_CHECKING:
    from buildlib.core.targets import Target
    from buildlib.images.image import ImageOptions

ANSWER = 10.0  # seconds in which docker must say whether a daemon answers


def has_more(context: Context, targets: Sequence[Target]) -> bool:
    """Whether an image has more than static binaries: a base image, or what the workspace's own Dockerfile adds."""
    names = {component.name for component in context.selection.components}
    has_base = any(table.base for name, table in context.config.components.items() if name in names)
    return has_base or workspace_dockerfile.is_own(context) or not all(target.is_musl for target in targets)


def reasons(context: Context, options: ImageOptions, flag: str = "") -> list[str]:
    """What of the request needs a container engine: the option `flag`, for one."""
    return [
        *([f"images of Dockerfiles ({', '.join(options.images)})"] if options.images else []),
        *(["--in-docker"] if options.container else []),
        *([f"the workspace's own {dockerfile.NAME}"] if workspace_dockerfile.is_own(context) else []),
        *([flag] if flag else []),
    ]


def is_chosen(context: Context, options: ImageOptions, flag: str = "") -> bool:
    """Whether the images are made without an engine: by the setting, or because none answers and none is needed.

    UsageError if the setting forbids what the request needs.
    """
    engine, needs = context.config.engine, reasons(context, options, flag)
    if engine == "none" and needs:
        verb = "need" if len(needs) > 1 or needs[0].startswith("images") else "needs"
        message = f"{' and '.join(needs)} {verb} a container engine, and the setting `engine` is none"
        raise UsageError(message, "leave it out, or use --engine docker")
    if engine != "auto" or needs:
        return engine == "none"
    if _answers(context):
        return False
    context.console.note("no Docker daemon with buildx answers: the images are made without one")
    return True


def _answers(context: Context) -> bool:
    """Whether a Docker daemon answers, and `docker` has buildx."""
    if not context.host.which("docker"):
        return False
    questions = (("docker", "version", "--format", "{{.Server.Version}}"), ("docker", "buildx", "version"))

    def ask(argv: tuple[str, ...]) -> bool:
        return bool(context.run(Step(title="docker", argv=argv, stdout="keep", quiet=True, timeout=ANSWER)))

    with ThreadPoolExecutor(max_workers=2) as pool:
        return all(pool.map(ask, questions))


def show(context: Context, options: ImageOptions) -> None:
    """Show what would be made, in a dry run."""
    for component in context.selection.components:
        platforms = ", ".join(target.oci for target in options.targets)
        context.console.note(f"{component.name}: would be made for {platforms}, checked and started without an engine")
