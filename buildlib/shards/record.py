"""dist/shard/: what a command with --shard has made, for `buildlib merge`.

`shard.json` has an entry for each command that has succeeded; `reports` and `journal.jsonl` are copies of what the target directory
has. dist/ as a whole is what a CI job uploads.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from buildlib import __version__
from buildlib.assembly.recipe import hashed
from buildlib.assembly.spec import ImageResult
from buildlib.binaries.dist import Entry
from buildlib.core.plan import Write
from buildlib.core.settings import flat
from buildlib.process.context import Context
from buildlib.process.files import read_text
from buildlib.shards.part import Part
from buildlib.shards.source import source
from buildlib.testing.tests import TestResult, report

SCHEMA = 1
FOLDER, RECORD, JOURNAL, REPORTS = "shard", "shard/shard.json", "shard/journal.jsonl", "shard/reports"
# The settings on which the bytes of each command's results depend, beside those of the machine (backends, mirrors, directories).
COMPILATION = (
    "profile", "features", "glibc", "libraries", "suite", "trim_paths", "sbom", "embed_sbom", "provenance", "cpu", "page_size",
)  # fmt: skip
SETTINGS = {
    "build": (*COMPILATION, "backend"),
    "image": (*COMPILATION, "backend", "registry", "components", "images"),
    "test": ("features", "libraries", "suite"),
    "smoke": ("registry", "components", "images"),
}
OPAQUE = ("components", "images", "--rest")
VOLATILE = ("seconds", "started", "cpu", "pages")  # of an entry of manifest.json
SELECTION = (
    "packages", "exclude", "workspace", "components", "examples", "bins", "library", "all_features", "no_default_features", "profile",
    "rest",
)  # fmt: skip

# What is printed or becomes a part of an annotation has no spaces and no line breaks.
_Arch = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")]
_Arches = Annotated[tuple[_Arch, ...], Meta(max_length=999)]
_Platform = Annotated[str, Meta(pattern=r"^[a-z0-9/]{1,64}\Z")]
_Key = Annotated[str, Meta(pattern=r"^[a-z_.-]{1,64}\Z")]
_Name = Annotated[str, Meta(pattern=r"^\w[\w.-]{0,127}\Z")]
_Visible = Annotated[str, Meta(pattern=r"^[!-~]{1,512}\Z")]
_Commit = Annotated[str, Meta(pattern=r"^([0-9a-f]{40,64}(\+[0-9a-f]{12})?)?\Z")]
_Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]


class ImageRecord(Struct, frozen=True, kw_only=True):
    """Some platforms of an image, pushed to `repository` by digest; the rest as in `assembly.spec.PushedPart`."""

    repository: _Visible
    digests: tuple[_Digest, ...]
    platforms: dict[_Platform, _Digest]
    inputs: dict[_Platform, _Sha256]
    bases: dict[_Visible, _Digest]


class CommandRecord(Struct, frozen=True, kw_only=True):
    """What a command has made. `settings` must be the same in all parts; `files` maps a path below dist/ to its SHA-256.

    `entries` maps the path of a binary to `entry_digest` of what manifest.json says of it.
    """

    settings: dict[_Key, Any]
    files: dict[str, _Sha256] = {}
    entries: dict[str, _Sha256] = {}
    images: dict[_Name, ImageRecord] = {}


class Record(Struct, frozen=True, kw_only=True):
    """dist/shard/shard.json. `commit` is as in `source`, `shard` as in "2/5"; `arches` and `parts` as in `part.Part`."""

    schema: int
    buildlib: Annotated[str, Meta(pattern=r"^[\w.+-]{1,64}\Z")]
    commit: _Commit
    shard: Annotated[str, Meta(pattern=r"^[0-9]{1,3}/[0-9]{1,3}\Z")]
    arches: _Arches
    parts: Annotated[tuple[_Arches, ...], Meta(max_length=999)]
    commands: dict[_Key, CommandRecord] = {}


def read(text: str | bytes) -> Record | None:
    """The record in a text, None for a text that is not one."""
    try:
        return msgspec.json.decode(text, type=Record)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def entry_digest(entry: Entry) -> str:
    """The SHA-256 of an entry of manifest.json, without what the next build of the same bytes may change."""
    return hashed({name: value for name, value in entry.items() if name not in VOLATILE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Records one command's results."""

    context: Context
    part: Part
    command: str
    commit: str

    def build(self, entries: Iterable[Entry]) -> None:
        """Record the binaries of a build that has succeeded."""
        self._add(self.command, entries=tuple(entries))

    def images(self, results: Iterable[ImageResult], entries: Iterable[Entry]) -> None:
        """Record images that were pushed by digest. `entries` are the binaries in them."""
        images = {
            result.component: ImageRecord(
                repository=result.where, digests=result.part.digests, platforms=dict(result.images),
                inputs=dict(result.part.recipe.inputs), bases=dict(result.part.recipe.bases),
            )
            for result in results if result.part
        }  # fmt: skip
        self._add("image", entries=tuple(entries), images=images)

    def tests(self, results: Iterable[TestResult]) -> None:
        """Record the reports of tests, also of failed ones."""
        files = {}
        for result in results:
            name = f"{REPORTS}/{result.session}-{result.target.name}.json"
            data = msgspec.json.encode(report(result))
            self.context.run(Write(path=self.context.dist / name, text=data.decode()))
            files[name] = hashlib.sha256(data).hexdigest()
        self._add(self.command, files=files)

    def start(self) -> None:
        """Remove what an earlier run of the command has recorded: one that fails must not leave it."""
        record = self.current()
        journal = self.context.dist / JOURNAL
        if not record.commands:  # those of another commit, or of another division
            self.context.run(Write(path=journal, text=""))
        kept = {name: one for name, one in record.commands.items() if name != self.command}
        self._write(msgspec.structs.replace(record, commands=kept))
        if not self.context.run.dry:
            self.context.history.copy = journal

    def current(self) -> Record:
        """The record of this part, with the commands of an existing one that is about the same."""
        part = self.part
        new = Record(
            schema=SCHEMA, buildlib=__version__, commit=self.commit, shard=str(part.shard), arches=part.arches, parts=part.parts,
        )  # fmt: skip
        old = read(read_text(self.context.dist / RECORD))
        same = old and msgspec.structs.replace(old, commands={}) == new
        return old if old and same else new

    def _add(
        self, command: str, *, files: Mapping[str, str] | None = None, entries: Sequence[Entry] = (),
        images: Mapping[str, ImageRecord] | None = None,
    ) -> None:  # fmt: skip
        added = CommandRecord(
            settings=self._settings(command), files={**(files or {}), **{entry["path"]: entry["sha256"] for entry in entries}},
            entries={entry["path"]: entry_digest(entry) for entry in entries}, images=dict(images or {}),
        )  # fmt: skip
        record = self.current()
        self._write(msgspec.structs.replace(record, commands={**record.commands, command: added}))

    def _settings(self, command: str) -> dict[str, Any]:
        values, request = flat(self.context.config), self.context.request
        options = {
            f"--{name.replace('_', '-')}": getattr(request, name) for name in SELECTION if getattr(request, name)
        }
        # The values of some may be secret.
        return {
            name: f"digest {hashed(value)[:12]}" if name in OPAQUE else value
            for name, value in {**{name: values[name] for name in SETTINGS[command]}, **options}.items()
        }

    def _write(self, record: Record) -> None:
        text = msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n"
        self.context.run(Write(path=self.context.dist / RECORD, text=text))


def start(context: Context, part: Part, command: str) -> Recording:
    """Begin to record a command."""
    recording = Recording(context=context, part=part, command=command, commit=source(context))
    recording.start()
    return recording


def pushed(context: Context, part: Part) -> Mapping[str, Mapping[str, str]]:
    """The images that this part has pushed by digest: component -> platform -> digest."""
    recording = Recording(context=context, part=part, command="smoke", commit=source(context))
    image = recording.current().commands.get("image")
    return {name: one.platforms for name, one in image.images.items()} if image else {}
