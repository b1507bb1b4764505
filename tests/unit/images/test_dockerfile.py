import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import Machine, Recorder, context

from buildlib.images import dockerfile, in_container, oci
from buildlib.machine import workspace
from buildlib.core.layers import files
from buildlib.images.dockerfile import Stage
from buildlib.core.targets import TARGETS

ROOT = Path(__file__).parents[3]
RUNTIME = oci.Runtime(
    entrypoint=("/usr/bin/a",),
    ports=(80, 81),
    health=("a", "--health"),
    env={"B": 'x "$y" \\z', "A": "1"},
    volumes=("/v",),
)


def test_the_stage_of_a_component():
    assert dockerfile.runtime("a", Stage(runtime=RUNTIME)) == (
        "FROM base${LIBC} AS a\n"
        "ARG TARGETARCH\n"
        "ARG TARGETVARIANT\n"
        "ARG LIBC\n"
        "COPY --from=binaries --chmod=0755 ${TARGETARCH}${TARGETVARIANT}${LIBC}/a /usr/bin/a\n"
        "COPY --from=empty --chown=65532:65532 / /v/\n"
        'ENV A="1"\n'
        'ENV B="x \\"\\$y\\" \\\\z"\n'
        "EXPOSE 80\n"
        "EXPOSE 81\n"
        'VOLUME ["/v"]\n'
        "USER 65532:65532\n"
        'HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["a", "--health"]\n'
        'ENTRYPOINT ["/usr/bin/a"]\n'
    )
    other = dockerfile.runtime("a", Stage(runtime=oci.Runtime(entrypoint=("/app/a",)), base="alpine:3"))
    assert other.startswith("FROM alpine:3 AS a\n") and "/a /app/a\n" in other


def test_no_architecture_is_written_out():
    text = dockerfile.render({"a": Stage(runtime=RUNTIME)}, "rust:1", ["x>=1"])
    told = re.sub(r"^#.*", "", text, flags=re.MULTILINE)  # comments have examples
    names = {name for t in TARGETS.values() for name in (t.triple, t.debian, t.gnu, t.oci, t.name)}
    assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", told)] == []


def test_every_argument_is_declared_in_the_stage_that_uses_it():
    text = dockerfile.render({"a": Stage(runtime=RUNTIME)}, "rust:1", ["x>=1"])
    stages = re.split(r"^FROM ", re.sub(r"^#.*", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    declared_before = set(re.findall(r"^ARG (\w+)", stages[0], re.MULTILINE)) | {"BUILDPLATFORM"}
    for part in stages[1:]:
        first, _, rest = part.partition("\n")
        assert set(re.findall(r"\$\{?(\w+)", first)) <= declared_before
        used = set(re.findall(r"\$\{?([A-Z]\w+)", rest)) - {"PATH"}
        # Settings that buildlib reads from its environment are declared and not written out again.
        assert {name for name in used if name not in re.findall(r"^ARG (\w+)", rest, re.MULTILINE)} <= {"PATH"}, part


def test_folders_of_dist_are_named_as_buildkit_names_platforms():
    """${TARGETARCH}${TARGETVARIANT}${LIBC} is the arch's own name, for every arch there is."""
    assert {dockerfile.platform_key(t) + dockerfile.libc_suffix(t): name for name, t in TARGETS.items()} == {n: n for n in TARGETS}


def test_this_repository_has_what_its_settings_make():
    """Dockerfile.multiarch at the top was written by `buildlib dockerfile --write`, and would be again."""
    from tomllib import loads

    names = ("cli-command", "journal-server", "mqtt-server", "placement-center")
    versions = loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    here = context(Machine(), Recorder(), ROOT)
    ((_, table),) = files(ROOT)
    components = tuple(workspace.Component(name=name, package=name, version=versions) for name in names)
    from dataclasses import replace

    from buildlib.core import layers

    here = replace(
        here,
        config=layers.resolve(("file", table)),
        workspace=replace(here.workspace, components=components),
    )
    for act in in_container.files(here, ROOT):
        assert act.path.read_text() == act.text, "run `buildlib dockerfile --write`"


def test_a_file_that_somebody_changed_is_told_from_one_that_is_out_of_date():
    text = dockerfile.render({"a": Stage(runtime=RUNTIME)}, "rust:1", ["x>=1"])
    assert dockerfile.is_generated(text) and dockerfile.is_generated(dockerfile.render({}, "rust:0", []))
    assert not any(map(dockerfile.is_generated, ("", "FROM a\n", f"{text} ", text.replace("EXPOSE 80\n", ""), text[1:])))


def test_what_looks_into_an_image():
    images = {"amd64": "r/a@sha256:1", "armv7": "r/a@sha256:2"}
    assert dockerfile.check_dockerfile(images, "/usr/bin/a") == (
        "FROM r/a@sha256:1 AS image-amd64\n"
        "FROM r/a@sha256:2 AS image-armv7\n"
        "FROM image-${TARGETARCH}${TARGETVARIANT} AS image\n"
        "FROM scratch AS taken\n"
        "COPY --from=image /usr/bin/a /program\n"
        "FROM image AS started\n"
        'RUN --network=none ["/usr/bin/a", "--version"]\n'
    )


@given(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])))
def test_a_value_stays_on_its_line_and_means_itself(value):
    text = dockerfile._quoted(value)
    assert text[0] == text[-1] == '"'
    inner, out = iter(text[1:-1]), []
    for char in inner:
        assert char not in '"$'  # unless a backslash stands before it
        out.append(next(inner) if char == "\\" else char)
    assert "".join(out) == value


@pytest.mark.parametrize("folders", [(), ("dist", "out/x")])
def test_what_a_compile_does_not_read_stays_out(folders):
    assert dockerfile.ignored(folders).splitlines() == [
        "**/.git",
        "**/.venv",
        "**/target",
        "**/.build-failures.log*",
        *folders,
    ]
