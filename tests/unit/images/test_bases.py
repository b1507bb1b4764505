"""`image --check-bases`, with registries that answer from a table."""

import json
from dataclasses import replace
from types import SimpleNamespace

import machines
import pytest
from machines import Machine, Recorder

from buildlib.core.errors import UsageError
from buildlib.core.request import Request
from buildlib.images import bases
from buildlib.images.bases import BaseState, check_bases
from buildlib.machine.workspace import Component

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


class Registries:
    """Stands for Repository and check.current: manifests by reference, and what base images have now."""

    def __init__(self, recorded, now):
        self.recorded, self.now = recorded, now

    def repository(self, client, reference):
        return Repository(self.recorded, f"{reference.registry}/{reference.repository}")

    def current(self, client, references):
        return tuple(bases.check.BaseDigest(name, self.now[name]) for name in references)


class Repository:
    def __init__(self, recorded, name):
        self.recorded, self.name = recorded, name

    def manifest(self, version):
        text = self.recorded[f"{self.name}:{version}"]
        annotations = {} if text is None else {"buildlib.bases": text}
        return json.dumps({"schemaVersion": 2, "manifests": [], "annotations": annotations}).encode()


@pytest.fixture
def checked(monkeypatch):
    def checked(recorded, now, images=("web",), binaries=False, tag="", registry="r.test/acme"):
        registries = Registries(recorded, now)
        monkeypatch.setattr(bases, "repository_of", registries.repository)
        monkeypatch.setattr(bases.check, "current", registries.current)
        made = machines.context(Machine(), Recorder(), registry=registry)
        workspace = machines.workspace(Component(name="app", package="app", version="1.2.3"))
        monkeypatch.setattr(bases, "client_for", lambda _: SimpleNamespace(close=lambda: None))
        return check_bases(replace(made, workspace=workspace, request=Request(no_binaries=not binaries)), images, tag)

    return checked


DEBIAN, ALPINE = "docker.io/library/debian:trixie-slim", "docker.io/library/alpine:3"


def test_digests_are_compared_for_each_component_and_base(checked):
    recorded = {
        "r.test/acme/app:1.2.3": f"debian:trixie-slim@{NEW}",
        "r.test/acme/web:latest": f"alpine:3@{OLD} debian:trixie-slim@{NEW}",
    }
    assert checked(recorded, {DEBIAN: NEW, ALPINE: NEW}, binaries=True) == [
        BaseState(component="app", base="debian:trixie-slim", recorded=NEW, current=NEW),
        BaseState(component="web", base="alpine:3", recorded=OLD, current=NEW),
        BaseState(component="web", base="debian:trixie-slim", recorded=NEW, current=NEW),
    ]


def test_the_state_says_whether_an_image_would_change():
    assert BaseState(component="a", base="b", recorded=OLD, current=NEW).is_newer
    assert not BaseState(component="a", base="b", recorded=NEW, current=NEW).is_newer


def test_an_index_without_the_record_has_no_bases(checked):
    assert checked({"r.test/acme/web:latest": None}, {}) == []


def test_another_tag(checked):
    (state,) = checked({"r.test/acme/web:v1": f"alpine:3@{OLD}"}, {ALPINE: OLD}, tag="v1")
    assert not state.is_newer


def test_without_a_registry_there_is_nothing_to_compare(checked):
    with pytest.raises(UsageError):
        checked({}, {}, registry="")
