"""Files of the workspace that an image contains: the setting `files`, as COPY in a Dockerfile reads it.

What is copied is the content of files. Links are followed, within the workspace; times, owners and the umask do not matter, and
directories without a file are left out, because git has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from buildlib.assembly.oci import digest
from buildlib.core.errors import UsageError
from buildlib.core.plan import CopyFiles
from buildlib.core.targets import nearest
from buildlib.images.dockerfile import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One file of the workspace and its place in the image."""

    file: Path  # links are resolved
    name: str  # in the workspace, as the settings name it
    path: str  # in the image: /etc/app/server.toml
    folders: tuple[str, ...] = ()  # the directories in the image that came with it

    @property
    def mode(self) -> int:
        """The permissions in the image: 0o755 for what its owner may execute, otherwise 0o644."""
        return mode(self.file)


def mode(file: Path) -> int:
    """The permissions of a file in an image, whatever the umask was: 0o755 for what its owner may execute, otherwise 0o644."""
    return 0o755 if file.stat().st_mode & 0o100 else 0o644


def contents(root: Path, name: str, stage: Stage) -> tuple[Content, ...]:
    """Every file of the workspace `root` that the image of the component `name` contains, sorted by its path there.

    UsageError for a file that does not exist or is outside of the workspace, and for two files with one path.
    """
    try:
        found = [content for source, to in stage.files.items() for content in _named(root, source, to)]
        found.sort(key=lambda content: content.path)
        _check_paths(found, stage)
    except _WrongFile as error:
        raise UsageError(f"components.{name}.files: {error}", error.help) from None
    except OSError as error:
        raise UsageError(f"components.{name}.files: {error.filename}: {error.strerror}") from None
    return tuple(found)


def copied(root: Path, source: str, to: str) -> tuple[Content, ...]:
    """The files of one entry of the setting, which `contents` has accepted."""
    return tuple(sorted(_named(root, source, to), key=lambda content: content.path))


def inputs(files: Iterable[Content]) -> list[tuple[str, int, str]]:
    """What an image gets of the files: path, mode and digest of each."""
    return [(content.path, content.mode, digest(content.file.read_bytes())) for content in files]


def build_context(files: Iterable[Content], folder: Path, epoch: int) -> CopyFiles:
    """The action that makes `folder` a build context with these files under their names in the workspace."""
    copies = tuple((content.file, content.name, content.mode) for content in files)
    return CopyFiles(folder=folder, files=copies, modified=epoch)


class _WrongFile(Exception):
    """A file that cannot be copied, without the name of the setting."""

    def __init__(self, message: str, help_text: str = "") -> None:
        super().__init__(message)
        self.help = help_text


def _named(root: Path, name: str, to: str) -> Iterator[Content]:
    """The files of one entry of the setting."""
    source = name.rstrip("/")
    path = root / source
    if not path.exists() and not path.is_symlink():
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        near = nearest(path.name, [sibling.name for sibling in siblings])
        raise _WrongFile(f"{name} does not exist in {root}", f"did you mean {near!r}?" if near else "")
    file = _inside(root, path, source)
    if file.is_dir():
        inner = list(_tree(root, file, source, (file,)))
        if not inner:
            raise _WrongFile(f"{name} contains no file")
        before = to.rstrip("/")
        for found, rest in inner:
            parts = rest.split("/")[:-1]
            folders = tuple("/".join((before, *parts[:n])) for n in range(len(parts) + 1))
            yield Content(file=found, name=f"{source}/{rest}", path=f"{before}/{rest}", folders=folders)
        return
    if name.endswith("/"):
        raise _WrongFile(f"{source} is not a directory", "leave out the `/` at its end")
    yield Content(file=_regular(file, source), name=source, path=f"{to}{path.name}" if to.endswith("/") else to)


def _tree(root: Path, folder: Path, name: str, above: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
    """Every file below a directory, and its path from there. `above` are the directories that lead to it."""
    for entry in sorted(folder.iterdir()):
        inner = f"{name}/{entry.name}"
        file = _inside(root, entry, inner)
        if not file.is_dir():
            yield _regular(file, inner), entry.name
        elif file in above:
            raise _WrongFile(f"{inner} leads back to a directory that contains it")
        else:
            yield from ((path, f"{entry.name}/{rest}") for path, rest in _tree(root, file, inner, (*above, file)))


def _inside(root: Path, path: Path, name: str) -> Path:
    """The path without links. Everything in the image must come from the workspace."""
    if not path.exists():
        raise _WrongFile(f"{name} is a link to nothing")
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise _WrongFile(f"{name} leads to {resolved}, outside of the workspace", "copy it into the workspace")
    return resolved


def _regular(file: Path, name: str) -> Path:
    if not file.is_file():
        raise _WrongFile(f"{name} is neither a file nor a directory")
    return file


def _check_paths(files: list[Content], stage: Stage) -> None:
    """_WrongFile if two files have one path, or one has the path of a directory."""
    runtime = stage.runtime
    (program,) = runtime.entrypoint
    folders = {*runtime.volumes, runtime.workdir, "/etc", "/tmp"}
    below = (program, *runtime.volumes, runtime.workdir, *(content.path for content in files))
    folders |= {str(folder) for path in below for folder in Path(path).parents}
    owners: dict[str, str] = {}
    for path, owner in ((program, "the program"), *((content.path, content.name) for content in files)):
        if path in folders:
            help_text = f"write {path}/ to copy it into the directory" if path != program else ""
            raise _WrongFile(f"{path} is a directory in the image, not {owner}", help_text)
        if path in owners:
            raise _WrongFile(f"{owner} and {owners[path]} are both {path} in the image")
        owners[path] = owner
