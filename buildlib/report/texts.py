"""Results that are files: a Dockerfile, a page, a workflow, a script for a shell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildlib.core.plan import Write
from buildlib.process.console import Console
from buildlib.report.reply import reply

if TYPE_CHECKING:
    from buildlib.ci.command import Pipeline
    from buildlib.report import results as data


def dockerfile(console: Console, files: Sequence[Write], *, written: bool, as_json: bool) -> None:
    """Print the Dockerfile, or the names of the files that were written."""
    if as_json:
        texts: list[data.FileData] = [{"path": str(file.path), "text": file.text} for file in files]
        result: data.DockerfileData = {"files": texts, "written": written, **reply()}
        console.json(result)
    elif written:
        for file in files:
            console.line(f"wrote {file.path.name}")
    else:
        console.line(files[0].text.rstrip("\n"))


def page(console: Console, path: Path, *, as_json: bool) -> None:
    """Print where the page of `report` is."""
    if as_json:
        result: data.ReportData = {"path": str(path), **reply()}
        console.json(result)
    else:
        console.line(f"wrote {path}")


def pipeline(console: Console, pipeline: Pipeline, *, as_json: bool) -> None:
    """Print the pipeline of `ci`, and what to do with it."""
    if as_json:
        result: data.CiData = {"text": pipeline.text, "secrets": list(pipeline.secrets), **reply()}
        console.json(result)
    else:
        console.line(pipeline.text.rstrip("\n"))
    for note in pipeline.notes:
        console.note(note)


def completion(console: Console, script: str, names: Sequence[str] = (), *, as_json: bool) -> None:
    """Print the script of `completion`, or the names of --values, which may be none."""
    if as_json:
        result: data.CompletionData = {"text": script, "values": list(names), **reply()}
        console.json(result)
    elif text := script or "\n".join(names):
        console.line(text)
