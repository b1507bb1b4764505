"""Stands for docker, buildx and a registry: answers as they do, and remembers tags."""

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from test_spec import here

from buildlib.process.files import layout, write_whole
from buildlib.core.plan import OciLayout, Outcome, Write
from buildlib.core.targets import TARGETS

PAIR = (TARGETS["amd64-musl"], TARGETS["armv7-musl"])
BUILDER = {
    "Name": "multiarch-builder",
    "Driver": "docker-container",
    "Nodes": [{"Flags": ["--allow-insecure-entitlement", "network.host"], "DriverOpts": {"network": "host"}}],
}


def digest(text):
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def entry(platform):
    told = dict(zip(("os", "architecture", "variant"), platform.split("/"), strict=False))
    return {"digest": digest(platform), "platform": told}


def index(*platforms, inputs=""):
    noted = {"annotations": {"buildlib.inputs": inputs}} if inputs else {}
    return json.dumps({"manifests": [entry(platform) for platform in platforms], **noted})


def after(words, flag):
    return [word for before, word in pairwise(words) if before == flag]


class Registry:
    """`platforms` is what a build makes of what it is asked for; `faults` maps a title's start to an output."""

    def __init__(self, found, dist, platforms=None, faults=(), builders=(BUILDER,)):
        self.console, self.dry = found.run.console, False
        self.dist, self.platforms, self.faults = dist, platforms, dict(faults)
        self.builders = "".join(json.dumps(b) + "\n" for b in builders)
        self.there, self.loaded, self.titles, self.acts = {}, {}, [], []

    def __call__(self, act):
        if isinstance(act, Write):
            write_whole(act.path, act.text.encode())
            return Outcome(step=act, code=0, seconds=0)
        if isinstance(act, OciLayout):
            layout(act)
            return Outcome(step=act, code=0, seconds=0)
        if act.title == "docker info":
            return Outcome(
                step=act, code=1, seconds=0.0
            )  # asked in the background, at no certain place among the others
        self.titles.append(act.title)
        self.acts.append(act)
        fault = next((text for start, text in self.faults.items() if act.title.startswith(start)), None)
        if fault:
            return Outcome(step=act, code=1, seconds=0, output=fault)
        said = getattr(self, f"_{act.title.split()[0]}", lambda _: "")(act)
        return Outcome(step=act, code=1 if said is None else 0, seconds=0, stdout=said or "")

    def stop(self):
        pass

    @property
    def tags(self):
        """What is found by name."""
        return {name: raw for name, raw in self.there.items() if "@" not in name and name != "debian:trixie-slim"}

    def _builders(self, _):
        return self.builders

    def _commit(self, _):
        return "1700000000 abc\n"

    def _read(self, act):
        return self.there.get(act.argv[-1])

    def _configuration(self, act):
        return self.there[act.argv[-1]]

    def _loaded(self, act):
        return self.loaded.get(act.argv[-1])

    def _build(self, act):
        (asked,), (output,) = after(act.argv, "--platform"), after(act.argv, "--output")
        platforms = asked.split(",") if self.platforms is None else self.platforms
        inputs = output.partition("buildlib.inputs=")[2]
        raw = index(*platforms, inputs=inputs) if len(platforms) > 1 else json.dumps(entry(*platforms)["platform"])
        (told,) = after(act.argv, "--metadata-file")
        Path(told).write_text(json.dumps({"containerimage.digest": digest(raw)}))
        if output.startswith("type=image"):
            repository = output.partition("name=")[2].split(",")[0]
            self.there[f"{repository}@{digest(raw)}"] = raw
        elif output.startswith("type=oci"):
            self._lay_out(Path(output.partition("dest=")[2].split(",")[0]), platforms, raw)
        else:
            self.loaded |= dict.fromkeys(after(act.argv, "--tag"), digest(raw))
        return ""

    def _lay_out(self, folder, platforms, raw):
        """What buildx writes: an index for several platforms, a plain manifest for one."""
        blobs, manifests = {}, []
        for platform in platforms:
            config = json.dumps(entry(platform)["platform"])
            layer = f"layer {platform}"
            text = json.dumps({"config": {"digest": digest(config)}, "layers": [{"digest": digest(layer)}]})
            blobs |= {digest(blob): blob.encode() for blob in (config, layer, text)}
            manifests.append(entry(platform) | {"digest": digest(text), "size": len(text), "mediaType": "m"})
        top = {key: manifests[0][key] for key in ("digest", "size", "mediaType")}
        if len(platforms) > 1:
            text = json.dumps({"manifests": manifests})
            blobs[digest(text)] = text.encode()
            top["digest"] = digest(text)
        layout(OciLayout(folder=folder, blobs=blobs, index=json.dumps({"manifests": [top]}).encode()))

    def _look(self, act):
        (asked,), (output,) = after(act.argv, "--platform"), after(act.argv, "--output")
        out = Path(output.split("dest=")[1])
        for target in PAIR:
            if target.oci in asked.split(","):
                inside = out / target.oci.replace("/", "_") if "," in asked else out
                write_whole(inside / "program", (self.dist / target.name / "a").read_bytes())
        return ""

    def _tag(self, act):
        digests = [word.partition("@")[2] for word in act.argv if "@sha256:" in word]
        repository = act.argv[-1].partition("@")[0]
        noted = after(act.argv, "--annotation")
        raws = [self.there[f"{repository}@{digest}"] for digest in digests]
        if len(raws) == 1 and "manifests" in raws[0] and not noted:
            (raw,) = raws
        else:
            inputs = noted[0].partition("=")[2] if noted else ""
            platforms = ["/".join(json.loads(raw).values()) for raw in raws]
            raw = index(*platforms, inputs=inputs)
        self.there |= dict.fromkeys(after(act.argv, "--tag"), raw)
        self.there[f"{repository}@{digest(raw)}"] = raw
        return ""


def ready(tmp_path, monkeypatch, env=None, **flags):
    """A function that makes a context whose registry answers, with an ELF gate that takes our stand-ins."""
    from buildlib.images import check

    found = here(tmp_path, env=env, **{"registry": "r.test/acme", **flags})
    manifest = tmp_path / "dist" / "manifest.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "binaries": [{**e, "floor": ""} for e in told["binaries"]]}))

    class Facts:
        def __init__(self, path):
            self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(check.artifacts, "read", Facts)
    monkeypatch.setattr(check.artifacts, "check", lambda *_: ())

    def make(**more):
        return replace(found, run=Registry(found, tmp_path / "dist", **more))

    return make
