import hashlib
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import machines
import pytest
from hypothesis import given
from hypothesis import strategies as st
from machines import Machine, Recorder, context

import buildlib
from buildlib.assembly import oci
from buildlib.core import layers
from buildlib.core.targets import TARGETS
from buildlib.images import dockerfile, workspace_dockerfile
from buildlib.images.dockerfile import Stage
from buildlib.machine import workspace

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


def test_the_stage_of_a_component_with_a_base_image_and_another_program():
    assert dockerfile.runtime("a", Stage(runtime=oci.Runtime(entrypoint=("/app/a",)), base="alpine:3")) == (
        "FROM alpine:3 AS a\n"
        "ARG TARGETARCH\n"
        "ARG TARGETVARIANT\n"
        "ARG LIBC\n"
        "COPY --from=binaries --chmod=0755 ${TARGETARCH}${TARGETVARIANT}${LIBC}/a /app/a\n"
        "USER 65532:65532\n"
        'ENTRYPOINT ["/app/a"]\n'
    )


def test_the_stage_of_a_component_with_files_and_arguments():
    runtime = replace(RUNTIME, command=("--config", "/etc/a/a b.toml"), user="7:8", workdir="/srv", env={}, ports=())
    files = {"config/": "/etc/a/", "a.toml": "/etc/a.toml"}
    assert dockerfile.runtime("a", Stage(runtime=runtime, files=files, labels={"org.acme/x": 'a "$b"'})) == (
        "FROM base${LIBC} AS a\n"
        "ARG TARGETARCH\n"
        "ARG TARGETVARIANT\n"
        "ARG LIBC\n"
        "COPY --from=binaries --chmod=0755 ${TARGETARCH}${TARGETVARIANT}${LIBC}/a /usr/bin/a\n"
        "COPY --from=empty --chown=7:8 / /v/\n"
        "COPY --chown=7:8 a.toml /etc/a.toml\n"
        "COPY --chown=7:8 config/ /etc/a/\n"
        "WORKDIR /srv\n"
        'LABEL org.acme/x="a \\"\\$b\\""\n'
        'VOLUME ["/v"]\n'
        "USER 7:8\n"
        'HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["a", "--health"]\n'
        'ENTRYPOINT ["/usr/bin/a"]\n'
        'CMD ["--config", "/etc/a/a b.toml"]\n'
    )


def rendered():
    return dockerfile.render({"a": Stage(runtime=RUNTIME)}, "rust:1", ["x>=1"])


def without_comments(text):
    return re.sub(r"^#.*", "", text, flags=re.MULTILINE)


def test_no_architecture_is_named():
    text = without_comments(rendered())  # comments have examples
    names = {name for t in TARGETS.values() for name in (t.triple, t.debian, t.gnu, t.oci, t.name)}
    assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", text)] == []


def test_every_argument_is_declared_in_the_stage_that_uses_it():
    stages = re.split(r"^FROM ", without_comments(rendered()), flags=re.MULTILINE)
    global_arguments = set(re.findall(r"^ARG (\w+)", stages[0], re.MULTILINE)) | {"BUILDPLATFORM"}
    for stage in stages[1:]:
        first, _, rest = stage.partition("\n")
        assert set(re.findall(r"\$\{?(\w+)", first)) <= global_arguments
        # Some arguments are declared and not used: buildlib reads them from its environment.
        assert set(re.findall(r"\$\{?([A-Z]\w+)", rest)) - {"PATH"} <= set(
            re.findall(r"^ARG (\w+)", rest, re.MULTILINE)
        )


def test_the_stage_compile_has_all_packages_of_buildlib():
    """Without compiled files: those of this machine's Python would only change the layer."""
    assert "\nCOPY --from=buildlib / /opt/buildlib/lib/buildlib/\n" in rendered()
    ignored = Path(buildlib.__file__).with_name(".dockerignore").read_text()  # of the build context `buildlib`
    assert ignored == "**/__pycache__\n"


def test_directories_of_dist_are_named_as_buildkit_names_platforms():
    """${TARGETARCH}${TARGETVARIANT}${LIBC} is the name of the arch, for every arch."""
    assert {dockerfile.platform_key(t) + dockerfile.libc_suffix(t): name for name, t in TARGETS.items()} == {
        n: n for n in TARGETS
    }


def test_this_repository_has_the_dockerfile_of_its_settings():
    """Dockerfile.multiarch was written by `buildlib dockerfile --write`, which would write the same today."""
    names = ("cli-command", "journal-server", "mqtt-server", "placement-center")
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    components = tuple(workspace.Component(name=name, package=name, version=version) for name in names)
    repository = context(Machine(), Recorder(), ROOT)
    repository = replace(
        repository,
        config=layers.resolve(*layers.files(ROOT)),
        workspace=machines.workspace(*components, root=repository.workspace.root),
    )
    for file in workspace_dockerfile.files(repository, ROOT):
        assert file.path.read_text() == file.text, "run `buildlib dockerfile --write`"


def test_an_edited_file_is_not_a_generated_one():
    text = rendered()
    assert dockerfile.is_generated(text)
    assert dockerfile.is_generated(dockerfile.render({}, "rust:0", []))
    edited = ("", "FROM a\n", f"{text} ", text.replace("EXPOSE 80\n", ""), text[1:])
    assert [dockerfile.is_generated(other) for other in edited] == [False] * len(edited)


def test_files_of_older_versions_are_generated_ones():
    rest = "# another text\nFROM scratch AS a\n"
    first = "# Made by `buildlib dockerfile --write` from the settings in Cargo.toml; sha256 of the rest: "
    assert dockerfile.is_generated(f"{first}{hashlib.sha256(rest.encode()).hexdigest()}\n{rest}")


def test_the_dockerfile_that_checks_an_image():
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
def test_a_quoted_value_is_one_line_without_expansion(value):
    text = dockerfile._quoted(value)
    assert text[0] == text[-1] == '"'
    inner, out = iter(text[1:-1]), []
    for char in inner:
        assert char not in '"$'  # unless it follows a backslash
        out.append(next(inner) if char == "\\" else char)
    assert "".join(out) == value


@pytest.mark.parametrize("folders", [(), ("dist", "out/x")])
def test_ignored_files(folders):
    """Files that an image gets are not ignored, wherever they are."""
    assert dockerfile.ignored(folders, ("dist/conf/", "a.toml", "a.toml")).splitlines() == [
        "**/.git",
        "**/.venv",
        "**/target",
        "**/__pycache__",
        "**/.build-failures.log*",
        *folders,
        "!a.toml",
        "!a.toml/**",
        "!dist/conf",
        "!dist/conf/**",
    ]
