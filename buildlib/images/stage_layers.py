"""A component's stage of the Dockerfile without BuildKit: its instructions as layers and lines of the history.

`dockerfile.runtime` is the text of the same stage, and what it says decides. The lines of the history are BuildKit's (v0.25.1), so
that the configuration of an image, by which Docker identifies it, does not depend on what has made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from buildlib.assembly.oci import USER, platform_of
from buildlib.core.sysroot import LIBRARIES
from buildlib.core.targets import Target
from buildlib.image_layers.new_layers import Addition
from buildlib.image_layers.tar import Attributes
from buildlib.images import contents
from buildlib.images.dockerfile import Stage, libc_suffix, platform_key

PASSWD = f"root:x:0:0::/root:/sbin/nologin\nnonroot:x:{USER}:{USER}::/:/sbin/nologin\n"
TMP_MODE = 0o777  # what BuildKit 0.25 makes of `--chmod=1777`


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One line of the history. `additions` are what its layer adds, None for an instruction without a layer."""

    text: str
    additions: tuple[Addition, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFiles:
    """Where a stage's files come from. `program` is what dist/ has; `libraries` are the system libraries beside it."""

    root: Path  # the workspace
    program: bytes
    libraries: tuple[Path, ...] = ()


def instructions(
    name: str, stage: Stage, target: Target, files: StageFiles, epoch: int, owner: tuple[int, int]
) -> Iterator[Instruction]:
    """The instructions of the component's stage, after those of its base image. `owner` is the user of the base image."""
    runtime = stage.runtime
    (program,) = runtime.entrypoint
    user, group = map(int, runtime.user.split(":"))
    libc, folder = libc_suffix(target), f"{platform_key(target)}{libc_suffix(target)}"
    platform = platform_of(target.oci)
    if not stage.base and target.is_musl:
        yield from _static_base(epoch)
    for argument, value in (
        ("TARGETARCH", platform["architecture"]), ("TARGETVARIANT", platform.get("variant", "")), ("LIBC", libc),
    ):  # fmt: skip
        yield Instruction(text=f"ARG {argument}={value}")
    yield _copy(f"--chmod=0755 {folder}/{name} {program}", Addition(program, Attributes(modified=epoch), files.program))
    if stage.system_libraries:
        pattern = f"[{name[0]}]{name[1:]}{LIBRARIES}"
        yield _copy(f"{folder}/{pattern}/ /usr/lib/", *_libraries(files.libraries, epoch))
    owned = Attributes(user=user, group=group, modified=epoch)
    for volume in runtime.volumes:
        yield _copy(f"--chown={runtime.user} / {volume}/", Addition(volume, owned))
    for source, to in sorted(stage.files.items()):
        yield _copy(f"--chown={runtime.user} {source} {to}", *_copied(contents.copied(files.root, source, to), owned))
    if runtime.workdir:
        directory = Attributes(user=owner[0], group=owner[1], modified=epoch)
        yield Instruction(text=f"WORKDIR {runtime.workdir}", additions=(Addition(runtime.workdir, directory),))
    yield from _settings(stage)


def _copy(words: str, *additions: Addition) -> Instruction:
    return Instruction(text=f"COPY {words} # buildkit", additions=additions)


def _static_base(epoch: int) -> Iterator[Instruction]:
    """The stage `base-musl`."""
    yield _copy("--chmod=1777 / /tmp/", Addition("/tmp", Attributes(mode=TMP_MODE, modified=epoch)))
    passwd = Addition("/etc/passwd", Attributes(mode=0o644, modified=epoch), PASSWD.encode())
    yield _copy("<<passwd /etc/passwd", passwd)


def _libraries(files: Iterable[Path], epoch: int) -> Iterator[Addition]:
    for file in sorted(files):
        yield Addition(f"/usr/lib/{file.name}", Attributes(mode=0o644, modified=epoch), file.read_bytes())


def _copied(found: Iterable[contents.Content], owned: Attributes) -> Iterator[Addition]:
    """Files of the workspace, with the directories that come with them."""
    for content in found:
        yield from (Addition(folder, owned) for folder in content.folders)
        yield Addition(content.path, owned._replace(mode=content.mode), content.file.read_bytes())


def _settings(stage: Stage) -> Iterator[Instruction]:
    """The instructions that change only the configuration."""
    runtime = stage.runtime
    lines = [
        *(f"ENV {key}={value}" for key, value in sorted(runtime.env.items())),
        *(f"LABEL {key}={value}" for key, value in sorted(stage.labels.items())),
        *(f"EXPOSE [{port}/tcp]" for port in runtime.ports), *(f"VOLUME [{volume}]" for volume in runtime.volumes),
        f"USER {runtime.user}",
    ]  # fmt: skip
    if runtime.health:
        lines.append(f'HEALTHCHECK &{{{_words(("CMD", *runtime.health))} "10s" "5s" "30s" "0s" \'\\x00\'}}')
    lines.append(f"ENTRYPOINT {_words(runtime.entrypoint)}")
    if runtime.command:
        lines.append(f"CMD {_words(runtime.command)}")
    yield from (Instruction(text=line) for line in lines)


def _words(words: Iterable[str]) -> str:
    """A list of words as Go's verb %q prints it."""
    return f"[{' '.join(map(_quoted, words))}]"


ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _quoted(word: str) -> str:
    def escaped(char: str) -> str:
        number = ord(char)
        if char in ESCAPES or char.isprintable():
            return ESCAPES.get(char, char)
        return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"

    return f'"{"".join(map(escaped, word))}"'
