"""Emulates docker, buildx and a registry: answers as they do, and remembers tags."""

import hashlib
import json
import tarfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from image_workspace import STATIC, workspace

from buildlib.core.plan import CopyFiles, OciLayout, Outcome, Write
from buildlib.core.stopping import Stop
from buildlib.core.targets import TARGETS
from buildlib.process.files import copy_files, layout, write_whole

BUILDER = {
    "Name": "multiarch-builder",
    "Driver": "docker-container",
    "Nodes": [{"Flags": ["--allow-insecure-entitlement", "network.host"], "DriverOpts": {"network": "host"}}],
}


def digest(text):
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def fields(platform):
    """The platform as OCI documents write it."""
    return dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))


def manifest(platform):
    """The manifest of one image, in a registry as in a layout."""
    blobs = {
        "config": {"digest": digest(json.dumps(fields(platform)))},
        "layers": [{"digest": digest(f"layer {platform}")}],
    }
    return json.dumps({"schemaVersion": 2, **blobs})


def entry(platform):
    return {"digest": digest(manifest(platform)), "platform": fields(platform)}


def index(*platforms, inputs=""):
    annotations = {"annotations": {"buildlib.inputs": inputs}} if inputs else {}
    return json.dumps({"schemaVersion": 2, "manifests": [entry(platform) for platform in platforms], **annotations})


def values_of(words, flag):
    """The values of a flag that may be repeated."""
    return [value for name, value in pairwise(words) if name == flag]


class FakeRegistry:
    """Stands for the runner.

    `platforms` are those that a build produces, whatever was requested; `faults` maps the start of a step's title to the output of
    its failure; `metadata` replaces what buildx writes into its metadata file.
    """

    def __init__(self, context, dist, platforms=None, faults=(), builders=(BUILDER,), metadata=None):
        self.console, self.dry, self.locked = context.run.console, False, context.run.locked
        self.dist, self.platforms, self.faults, self.metadata = dist, platforms, dict(faults), metadata
        self.builders = "".join(json.dumps(builder) + "\n" for builder in builders)
        self.manifests, self.loaded, self.titles, self.steps = {}, {}, [], []
        self.env, self.translate, self.hidden, self.secrets = {}, str, {}, tuple
        self.stopped, self.clean_up = Stop(), self
        self.store = "classic"  # the daemon's image store; the other is "containerd"

    def __call__(self, action):
        if isinstance(action, Write):
            write_whole(action.path, action.text.encode())
            return Outcome(step=action, code=0, seconds=0)
        if isinstance(action, CopyFiles | OciLayout):
            {CopyFiles: copy_files, OciLayout: layout}[type(action)](action)
            return Outcome(step=action, code=0, seconds=0)
        if action.title == "docker info":  # runs in the background, at no fixed place among the others
            return Outcome(step=action, code=1, seconds=0)
        self.titles.append(action.title)
        self.steps.append(action)
        fault = next((output for start, output in self.faults.items() if action.title.startswith(start)), None)
        if fault:
            return Outcome(step=action, code=1, seconds=0, output=fault)
        answer = getattr(self, f"_{action.title.split()[0]}", lambda _: "")(action)
        return Outcome(step=action, code=1 if answer is None else 0, seconds=0, stdout=answer or "")

    def argvs(self, title):
        """The command lines of the steps with this title."""
        return [step.argv for step in self.steps if step.title == title]

    @property
    def tags(self):
        """What the registry has under a tag, without base images."""
        return {name: text for name, text in self.manifests.items() if "@" not in name and name != "debian:trixie-slim"}

    def _builders(self, _):
        return self.builders

    def _commit(self, _):
        return "1700000000 abc\n"

    def _read(self, step):
        return self.manifests.get(step.argv[-1])

    def _configuration(self, step):
        name = step.argv[-1].partition("@")[2]
        return next(json.dumps(fields(target.oci)) for target in STATIC if digest(manifest(target.oci)) == name)

    def _inspect(self, step):
        return self.loaded.get(step.argv[-1])

    def _build(self, step):
        (requested,), (output,) = values_of(step.argv, "--platform"), values_of(step.argv, "--output")
        platforms = requested.split(",") if self.platforms is None else self.platforms
        inputs = output.partition("buildlib.inputs=")[2].partition(",")[0]
        multiple = len(platforms) > 1 or "BUILDKIT_MULTI_PLATFORM=1" in step.argv
        text = index(*platforms, inputs=inputs) if multiple else manifest(*platforms)
        (metadata,) = values_of(step.argv, "--metadata-file")
        default = json.dumps({"containerimage.digest": digest(text)})
        Path(metadata).write_text(default if self.metadata is None else self.metadata)
        if output.startswith("type=image"):
            repository = output.partition("name=")[2].split(",")[0]
            self.manifests[f"{repository}@{digest(text)}"] = text
        else:
            folder = Path(output.partition("dest=")[2].split(",")[0])
            self._write_layout(folder, platforms, *((True,) if multiple and len(platforms) == 1 else ()))
        return ""

    def _load(self, step):
        """What the daemon does: the classic store reads manifest.json, containerd's reads index.json."""
        (archive,) = values_of(step.argv, "--input")
        with tarfile.open(archive) as tar:
            self.archive = {entry.name.removeprefix("./"): tar.extractfile(entry) for entry in tar}
            self.archive = {name: file.read() for name, file in self.archive.items() if file}
        (image,) = json.loads(self.archive["manifest.json"])
        entries = json.loads(self.archive["index.json"])["manifests"]
        if self.store == "classic":
            loaded = dict.fromkeys(image["RepoTags"], digest(self.archive[image["Config"]].decode()))
        else:
            names = [entry["annotations"]["io.containerd.image.name"] for entry in entries]
            loaded = {n.removeprefix("docker.io/library/"): e["digest"] for n, e in zip(names, entries, strict=True)}
        self.loaded |= loaded
        return ""

    def _write_layout(self, folder, platforms, multiple=False):
        """What buildx writes: an index for several platforms, and if it is told so for one, else a plain manifest."""
        blobs, entries = {}, []
        for platform in platforms:
            config, layer = json.dumps(fields(platform)), f"layer {platform}"
            text = manifest(platform)
            blobs |= {digest(blob): blob.encode() for blob in (config, layer, text)}
            entries.append(entry(platform) | {"digest": digest(text), "size": len(text), "mediaType": "m"})
        top = {key: entries[0][key] for key in ("digest", "size", "mediaType")}
        if len(platforms) > 1 or multiple:
            text = json.dumps({"manifests": entries})
            blobs[digest(text)] = text.encode()
            top["digest"] = digest(text)
        layout(OciLayout(folder=folder, blobs=blobs, index=json.dumps({"manifests": [top]}).encode()))

    def _extract(self, step):
        (requested,), (output,) = values_of(step.argv, "--platform"), values_of(step.argv, "--output")
        out = Path(output.split("dest=")[1])
        first = TARGETS[out.name.removeprefix("program-")]
        for target in TARGETS.values():
            if target.oci in requested.split(",") and target.is_musl == first.is_musl:
                folder = out / target.oci.replace("/", "_") if "," in requested else out
                write_whole(folder / "program", (self.dist / target.name / "a").read_bytes())
        return ""

    def _tag(self, step):
        repository = step.argv[-1].partition("@")[0]
        digests = [word.partition("@")[2] for word in step.argv if word.startswith(f"{repository}@sha256:")]
        annotations = values_of(step.argv, "--annotation")
        texts = [self.manifests[f"{repository}@{digest}"] for digest in digests]
        if len(texts) == 1 and "manifests" in texts[0] and not annotations:
            (text,) = texts
        else:
            inputs = annotations[0].partition("=")[2] if annotations else ""
            # The images themselves, or those of an index.
            known = {name.partition("@")[2]: text for name, text in self.manifests.items()}
            digests += [one["digest"] for name in digests for one in json.loads(known[name]).get("manifests", ())]
            platforms = [target.oci for target in TARGETS.values() if digest(manifest(target.oci)) in digests]
            platforms = list(dict.fromkeys(platforms))
            text = index(*platforms, inputs=inputs)
        self.manifests |= dict.fromkeys(values_of(step.argv, "--tag"), text)
        self.manifests[f"{repository}@{digest(text)}"] = text
        return ""


def prepare(tmp_path, monkeypatch, env=None, **flags):
    """A function that returns a context whose runner is a FakeRegistry. The ELF gate accepts the stand-ins for binaries."""
    from buildlib.images import binary_assembly

    context = workspace(tmp_path, env=env, **{"registry": "r.test/acme", **flags})

    class Facts:
        def __init__(self, path):
            self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(binary_assembly.elf, "read", Facts)
    monkeypatch.setattr(binary_assembly.elf, "check", lambda *_: ())

    def create(**options):
        return replace(context, run=FakeRegistry(context, tmp_path / "dist", **options))

    return create
