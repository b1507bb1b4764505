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
COMPILED = (".o", ".a")  # what follows from other files
NOT_COPIED = (
    "if only the second build fails: files that git ignores, and what is outside of the repository, are not copied"
)
OWN = "the crate of the program itself, or how it is linked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One file of dist/ and its copy from elsewhere.

    `difference` is "" if they have the same bytes, and `origins` what in the project does not: see `origins`.
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
    with _elsewhere(context) as other:
        umask = os.umask(UMASK)
        try:
            with context.console.fold("again, in another directory, as another user"):
                second = _built(other, targets, NOT_COPIED)
        finally:
            os.umask(umask)
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
    return replace(comparison, difference=str(found), origins=origins(here.folder, there.folder))


def origins(here: Path, there: Path) -> tuple[str, ...]:
    """What in the project differs in two directories of the same build, of which `there` was empty before.

    Cargo gives the same unit the same name in both. A build script that makes something else explains every other difference. Of the
    crates it is the one that was compiled first: those that depend on it differ as well. One that is missing here has another name:
    cargo's names of path dependencies outside of the workspace depend on their absolute path.
    """
    scripts = sorted((there / "build").glob("*/out"))
    if found := tuple(filter(None, (_script(folder.parent, here, there) for folder in scripts))):
        return found
    libraries = [path for path in (there / "deps").glob("*.rlib") if not _same(here / "deps" / path.name, path)]
    if not libraries:
        return (OWN,)
    first = min(libraries, key=lambda path: path.stat().st_mtime_ns)
    return (f"the crate {first.stem.removeprefix('lib').rpartition('-')[0]}",)


def _script(unit: Path, here: Path, there: Path) -> str:
    """What the build script of a unit makes in another way, "" if it makes the same."""
    ours = here / "build" / unit.name
    name = unit.name.rpartition("-")[0]
    files = (path for path in (unit / "out").rglob("*") if path.is_file())
    for file in sorted(files, key=lambda path: (path.suffix in COMPILED, path)):
        if not _same(ours / file.relative_to(unit), file):
            return f"the build script of {name} writes {file.relative_to(unit / 'out')}"
    return f"the build script of {name} prints something else" if _printed(ours, here) != _printed(unit, there) else ""


def _same(one: Path, other: Path) -> bool:
    """Whether two files have the same bytes. Lists of dependencies have paths, and are for make alone."""
    if one.suffix == ".d":
        return True
    try:
        return one.read_bytes() == other.read_bytes()
    except OSError:
        return False


def _printed(unit: Path, folder: Path) -> str:
    """What a build script has printed, without the paths of its directory."""
    try:
        return (unit / "output").read_text("utf-8", "replace").replace(str(folder), "")
    except OSError:
        return ""


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
        config = msgspec.structs.replace(context.config, target_dir="", dist="dist")
        workspace = replace(other.workspace, target_dir=other.workspace.root / "target")
        yield replace(other, config=config, workspace=workspace)


def _environment(context: Context, folder: Path) -> dict[str, str]:
    """The environment of another user, who has the same toolchains and the same downloads."""
    env = {**context.host.env, **ELSEWHERE, "HOME": str(folder / "home"), "CARGO_HOME": str(folder / "home" / "cargo")}
    home = Path(context.host.env.get("HOME", "/nonexistent"))
    env.setdefault("RUSTUP_HOME", str(home / ".rustup"))
    env.setdefault("SOURCE_DATE_EPOCH", str(commit(context)[0]))
    cargo = Path(env["CARGO_HOME"])
    cargo.mkdir(parents=True)
    own = context.host.cwd / context.host.env.get("CARGO_HOME", str(home / ".cargo"))
    for entry in own.iterdir() if own.is_dir() else ():
        (cargo / entry.name).symlink_to(entry)
    return env


def _copy(context: Context, root: Path) -> Path:
    """Copy what git knows of the repository, or the workspace without what was built. Return the directory that was copied."""
    answer = _git(context, "rev-parse", "--show-toplevel", "--absolute-git-dir")
    if not answer:
        top = context.workspace.root
        made = (context.workspace.target_dir, context.dist)
        shutil.copytree(
            top, root, symlinks=True, ignore=lambda folder, names: [n for n in names if Path(folder, n) in made]
        )
        return top
    top, git = (Path(line) for line in answer.splitlines())
    listed = _git(context, "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=top)
    for name in filter(None, listed.split("\0")):
        if (top / name).is_file() or (top / name).is_symlink():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(top / name, root / name, follow_symlinks=False)
    (root / ".git").write_text(f"gitdir: {git}\n", "utf-8")  # build scripts ask git for the commit
    return top


def _git(context: Context, *words: str, cwd: Path | None = None) -> str:
    """The output of a question to git, "" if it has no answer."""
    step = Step(title="git", argv=("git", *words), cwd=cwd or context.workspace.root, stdout="keep", quiet=True)
    try:
        outcome = context.run(step)
    except BuildError:  # no git on this machine
        return ""
    return outcome.stdout if outcome else ""
