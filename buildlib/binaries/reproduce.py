"""The command `reproduce`: build again as another user in another directory, and compare."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from buildlib.binaries.build import BuildResult, build
from buildlib.binaries.origins import origins, side
from buildlib.core.cache_settings import Cache
from buildlib.core.errors import BuildError
from buildlib.core.plan import Status, Step
from buildlib.core.targets import Target
from buildlib.elf import difference
from buildlib.process.commit import commit
from buildlib.process.context import Context, open_context

# Another time zone, language, user and number of jobs than anybody has.
ELSEWHERE = {
    "TZ": "Pacific/Chatham",
    "LANG": "C",
    "LC_ALL": "C",
    "USER": "nobody",
    "LOGNAME": "nobody",
    "CARGO_BUILD_JOBS": "1",
}
UMASK = 0o077
NOT_COPIED = (
    "if only the second build fails: files that git ignores, and what is outside of the repository, are not copied"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One file of dist/ and its copy from elsewhere.

    `difference` is "" if they have the same bytes, and `origins` what in the project does not: see `origins.origins`.
    """

    target: Target
    name: str
    sha256: str
    difference: str = ""
    origins: tuple[str, ...] = ()


def reproduce(context: Context, targets: tuple[Target, ...]) -> list[Comparison]:
    """Build for the targets here and elsewhere, and compare what came out.

    Raises:
        BuildError: A build failed; its error has been shown.
    """
    first = _built(context, targets, "the error above says why")
    if all(result.status is Status.PLANNED for result in first):
        return []
    with _umask(), _elsewhere(context) as other:
        with context.console.fold("again, in another directory, as another user"):
            second = _built(other, targets, NOT_COPIED)
        return [
            _compare(context, other, here, there, entry["path"], entry["sha256"])
            for here, there in zip(first, second, strict=True)
            for entry in here.entries
        ]


def _built(context: Context, targets: tuple[Target, ...], help: str) -> list[BuildResult]:
    results = build(context, targets)
    for result in results:
        if result.error:
            raise BuildError(f"{result.target.name}: {result.status.value}, so there is nothing to compare", help)
    return results


def _compare(
    context: Context, other: Context, here: BuildResult, there: BuildResult, path: str, sha256: str
) -> Comparison:
    comparison = Comparison(target=here.target, name=Path(path).name, sha256=sha256)
    found = difference.first(context.dist / path, other.dist / path)
    if found is None:
        return comparison
    sides = side(context, context.dist / path, here.folder), side(other, other.dist / path, there.folder)
    return replace(comparison, difference=str(found), origins=origins(*sides))


@contextmanager
def _umask() -> Iterator[None]:
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _elsewhere(context: Context) -> Iterator[Context]:
    """The same workspace in another directory, for another user; it is removed afterwards."""
    base = context.host.cache / "reproduce"
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as folder:
        root = Path(folder, "elsewhere", "sources")  # without spaces: not every build script can have them
        top = _copy(context, root)
        cwd = root / context.host.cwd.relative_to(top)
        env = _environment(context, Path(folder))
        other = open_context(env, cwd, {}, context.console, command="reproduce", request=context.request)
        # What is in a compiler cache may be what makes the difference.
        config = msgspec.structs.replace(context.config, target_dir="", dist="dist", cache=Cache())
        workspace = replace(other.workspace, target_dir=other.workspace.root / "target")
        yield replace(other, config=config, workspace=workspace)


def _environment(context: Context, folder: Path) -> dict[str, str]:
    """The environment of another user, who has the same toolchains and the same downloads."""
    places = {"HOME": folder / "home", "CARGO_HOME": folder / "home" / "cargo", "TMPDIR": folder / "tmp"}
    env = {**context.host.env, **ELSEWHERE, **{name: str(path) for name, path in places.items()}}
    home = Path(context.host.env.get("HOME", "/nonexistent"))
    env.setdefault("RUSTUP_HOME", str(home / ".rustup"))
    env.setdefault("SOURCE_DATE_EPOCH", str(commit(context)[0]))
    for path in places.values():
        path.mkdir(parents=True, exist_ok=True)
    own = context.host.cwd / context.host.env.get("CARGO_HOME", str(home / ".cargo"))
    for entry in own.iterdir() if own.is_dir() else ():
        (places["CARGO_HOME"] / entry.name).symlink_to(entry)
    return env


def _copy(context: Context, root: Path) -> Path:
    """Copy what git knows of the repository, or the workspace without what was built. Return the directory that was copied."""
    answer = _git(context, "rev-parse", "--show-toplevel", "--absolute-git-dir")
    if not answer:
        top = context.workspace.root
        made = (context.workspace.target_dir, context.dist)
        shutil.copytree(
            top,
            root,
            symlinks=True,
            copy_function=_clone,
            ignore=lambda folder, names: [n for n in names if Path(folder, n) in made],
        )
        return top
    top, git = (Path(line) for line in answer.splitlines())
    tracked = _git(context, "ls-files", "-z", "--cached", "--recurse-submodules", cwd=top)
    new = _git(context, "ls-files", "-z", "--others", "--exclude-standard", cwd=top)
    for name in filter(None, f"{tracked}{new}".split("\0")):
        if (top / name).is_file() or (top / name).is_symlink():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            _clone(top / name, root / name)
    (root / ".git").write_text(f"gitdir: {git}\n", "utf-8")  # build scripts ask git for the commit
    return top


def _clone(source: str | Path, to: str | Path) -> None:
    """Copy a file as `git clone` would: without its time, and with what the umask leaves of its permissions."""
    shutil.copyfile(source, to, follow_symlinks=False)
    if not Path(to).is_symlink() and os.access(source, os.X_OK):
        Path(to).chmod(0o777 & ~UMASK)


def _git(context: Context, *words: str, cwd: Path | None = None) -> str:
    """The output of a question to git, "" if it has no answer."""
    step = Step(title="git", argv=("git", *words), cwd=cwd or context.workspace.root, stdout="keep", quiet=True)
    try:
        outcome = context.run(step)
    except BuildError:  # no git on this machine
        return ""
    return outcome.stdout if outcome else ""
