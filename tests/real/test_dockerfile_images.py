"""Images from Dockerfiles of a project: built, checked, started and only then tagged, like those of the binaries."""

import io
import json
import re
import shutil
import zipfile

import pytest
import yaml
from dockerfile_project import PROGRAM, DockerfileProject, built, cases, program, results, steps, targetarch
from project import platform
from testbed import assert_error, path_without, run

pytestmark = pytest.mark.slow
ARCHES = ("amd64", "arm64", "armv7", "riscv64")
APP = {"dockerfile": "Dockerfile", "context": "app"}


@pytest.fixture
def project(engine, tmp_path):
    """A project without a Cargo.toml, with an image `app` for two platforms: one static program."""
    (tmp_path / "project").mkdir()
    project = DockerfileProject(tmp_path / "project", engine)
    project.write({"app/Dockerfile": PROGRAM, **programs("app", ARCHES)})
    project.settings({"app": APP}, ["amd64", "arm64"])
    return project


def programs(folder, arches):
    return {f"{folder}/{targetarch(arch)}/app": program(arch) for arch in arches}


# --- when an image is built, and when not -----------------------------------------------------------------------------


def test_only_changed_input_is_built_again(project):
    base = DockerfileProject(project.root.parent, project.engine)
    base.write({"base/Dockerfile": 'FROM scratch\nCOPY name /name\nCMD ["/name"]\n', **programs("base", ())})
    dockerfile = (
        f"FROM {base.where}/base\nARG TARGETARCH\nARG COLOUR\nLABEL colour=$COLOUR\nCOPY ${{TARGETARCH}}/app /app\n"
    )
    dockerfile += 'ENTRYPOINT ["/app"]\n'
    base.write({"base/name": program("amd64"), "base/Dockerfile": PROGRAM, **programs("base", ARCHES)})
    base.settings({"base": {"dockerfile": "Dockerfile", "context": "base"}}, ["amd64", "arm64"])
    assert base.push().code == 0
    project.write({"app/Dockerfile": dockerfile})

    def push(*options):
        done = project.push(*options)
        (result,) = results(done)
        assert done.code == 0 and result == project.pushed("app", result["status"], ["amd64", "arm64"]), done
        return result["digest"], result["status"], built(done)

    first, *rest = push()
    assert rest == ["done", ["app"]]
    assert push() == (first, "unchanged", [])

    def change_file():
        project.write({"app/amd64/app": program("amd64") + b"\0"})

    def change_argument():
        project.settings({"app": {**APP, "build-args": {"COLOUR": "blue"}}}, ["amd64", "arm64"])

    def change_dockerfile():
        project.write({"app/Dockerfile": dockerfile + "LABEL size=1\n"})

    def change_base():
        base.write({"base/amd64/app": program("amd64") + b"\0"})
        assert base.push().code == 0

    seen = {first}
    for change in (change_file, change_argument, change_dockerfile, change_base):
        change()
        digest, *rest = push()
        assert rest == ["done", ["app"]] and digest not in seen, change
        seen.add(digest)
        assert push() == (digest, "unchanged", [])
    # What the image does not use changes its input but not the image: another index of it records that.
    images = project.layers("app", "linux/arm64")
    project.write({"app/unused": "text"})
    digest, *rest = push()
    assert rest == ["done", ["app"]] and project.layers("app", "linux/arm64") == images
    assert push() == (digest, "unchanged", [])
    forced = project.push("--force")
    assert results(forced) == [project.pushed("app", "unchanged", ["amd64", "arm64"])], forced
    assert built(forced) == ["app"] and " --no-cache " in forced.err and project.digest("app") == digest
    assert project.published() == {"app": ["latest"]}


def test_what_buildlib_itself_writes_is_no_input(project):
    """Its records are in target/, which is inside a context that is the whole project."""
    project.write({"Dockerfile": PROGRAM, **programs(".", ARCHES)})
    project.settings({"app": {"dockerfile": "Dockerfile", "context": "."}}, ["amd64", "arm64"])
    assert results(project.push()) == [project.pushed("app", "done", ["amd64", "arm64"])]
    again = project.push()
    assert results(again) == [project.pushed("app", "unchanged", ["amd64", "arm64"])] and built(again) == []


def test_load_and_output(project, tmp_path):
    loaded = project.call("image", "--load", "--arch", "arm64", "--json")
    (result,) = results(loaded)
    name = f"{project.where}/app:latest"
    inspected = run(
        "docker", "image", "inspect", "--format", "{{.Id}} {{.Os}}/{{.Architecture}}", name, env=project.env
    )
    expected = {
        "component": "app",
        "status": "done",
        "platforms": ["linux/arm64"],
        "tags": ["latest"],
        "code": 0,
        "error": None,
        "signed": [],
        "not_started": [],
    }
    assert result == {**expected, "where": name, "digest": inspected.out.split()[0]}, loaded
    assert inspected.out.split()[1] == "linux/arm64"
    started = run("docker", "run", "--rm", "--pull", "never", name, env=project.env)
    assert started.code == 0, started
    removed = run("docker", "image", "rm", name, env=project.env)
    assert removed.code == 0, removed

    saved = project.call("image", "--output", tmp_path / "out", "--json")
    (result,) = results(saved)
    platforms = ["linux/amd64", "linux/arm64"]
    expected |= {"platforms": platforms, "where": f"{tmp_path}/out/app"}
    layout = f"oci:{tmp_path}/out/app"
    assert result == {**expected, "digest": json.loads(run("skopeo", "inspect", layout).out)["Digest"]}, saved
    index = json.loads(run("skopeo", "inspect", "--raw", layout).out)
    assert [platform(entry["platform"]) for entry in index["manifests"]] == platforms
    again = project.call("image", "--output", tmp_path / "out", "--json")
    assert results(again) == [{**result, "status": "unchanged"}] and built(again) == []
    assert project.published() == {}


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_refused_image_leaves_the_tag_where_it_was(project):
    assert project.push().code == 0
    before = project.digest("app")
    project.write({"app/arm64/app": program("amd64")})
    refused = project.push()
    assert refused.code == 6, refused
    (result,) = results(refused)
    error = r"app: linux/arm64: layer 1 \(sha256:[0-9a-f]{12}\): /app: architecture: x86-64, expected AArch64"
    assert re.fullmatch(error, result["error"]) and result == project.refused("app", result["error"]), refused
    assert project.digest("app") == before and project.published() == {"app": ["latest"]}


def test_an_image_that_does_not_do_what_the_settings_say(project):
    assert project.push().code == 0
    before = project.digest("app")
    project.settings({"app": {**APP, "says": {"arm64": ["ready"]}}}, ["amd64", "arm64"])
    refused = project.push()
    error = "app: linux/arm64: service: the log does not contain 'ready', and the program has exited"
    assert refused.code == 6 and results(refused) == [project.refused("app", error)], refused
    assert project.digest("app") == before


def test_an_image_that_is_based_on_another_one(project):
    """Of the images that others need, only those of the call are published. If one is refused, the others are not built."""
    project.write({"child/Dockerfile": "FROM app\nCOPY text /text\n", "child/text": "a"})
    project.settings({"child": {"dockerfile": "Dockerfile", "context": "child"}, "app": APP}, ["amd64", "arm64"])
    done = project.push("--component", "child")
    assert results(done) == [project.pushed("child", "done", ["amd64", "arm64"])]
    assert project.published() == {"child": ["latest"]} and built(done) == ["app", "child"]
    both = project.push()
    assert project.published() == {"app": ["latest"], "child": ["latest"]}
    (base,) = project.layers("app", "linux/arm64")
    assert project.layers("child", "linux/arm64")[:-1] == [base], both
    before = project.digest("child")

    project.write({"app/arm64/app": program("amd64")})
    failed = project.push()
    found = {result["component"]: (result["status"], result["error"]) for result in results(failed)}
    assert found["child"] == ("refused", "child: its base image app failed") and found["app"][0] == "refused"
    assert failed.code == 6 and built(failed) == ["app"] and project.digest("child") == before, failed


SETTINGS = """FROM debian:trixie-slim AS final
RUN --mount=type=secret,id=TOKEN --mount=type=secret,id=file \\
    test "$(cat /run/secrets/TOKEN) $(cat /run/secrets/file)" = "word-in-variable word-in-file"
RUN test "$(ls /sys/class/net)" = lo
ARG GREETING COUNT DEBUG
RUN echo "$GREETING $COUNT $DEBUG" > /text
CMD ["cat", "/text"]
FROM final
RUN false
"""


def test_every_setting_reaches_the_build(project):
    """The values of secrets are neither printed nor recorded."""
    arguments = {"GREETING": "two words", "COUNT": 3, "DEBUG": True}
    more = {
        "target": "final",
        "build-args": arguments,
        "secrets": ["TOKEN", "id=file,src=secret.txt"],
        "network": "none",
    }
    project.write({"app/Dockerfile": SETTINGS, "secret.txt": "word-in-file"})
    project.settings({"app": {**APP, **more, "says": {"all": ["two words 3 true"]}}}, ["amd64"])
    done = project.push(env={"TOKEN": "word-in-variable"})
    assert results(done) == [project.pushed("app", "done", ["amd64"])], done
    recorded = "".join(file.read_text() for file in (project.root / "target").rglob("*") if file.is_file())
    assert '"title": "build app"' in recorded and "word-in-" not in done.out + done.err + recorded


def archive(name, data):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as jar:
        jar.writestr(name, data)
    return file.getvalue()


def test_wrong_images_and_unusual_ones_in_one_call(project):
    """The wrong ones are refused with layer and path, the others are published."""
    data = "COPY data /data\n"
    elf = program("amd64")
    contexts = {
        "wrong-jar": {"Dockerfile": PROGRAM + data, "data/a.jar": archive("native/liba.so", elf)},
        "wrong-script": {"Dockerfile": "FROM scratch\nCOPY run /run\nENTRYPOINT [\"/run\"]\n", "run": "#!/bin/absent\n"},
        "wrong-variant": {"Dockerfile": PROGRAM + data, "data/tool": program("arm64")},
        "firmware": {"Dockerfile": PROGRAM + data, "data/firmware/a.bin": elf, "data/a.jar": archive("b.so", elf)},
        "links": {
            "Dockerfile": PROGRAM.replace("/app /app", "/app /opt/tool/app") + "COPY links /\nENTRYPOINT [\"tool\"]\n",
        },
        "unreadable-names": {"Dockerfile": PROGRAM + data, "data/ä b\nc": "text", "data/empty.jar": "", "data/x.o": b"\x7fELF"},
    }  # fmt: skip
    for name, files in contexts.items():
        project.write({**{f"{name}/{file}": data for file, data in files.items()}, **programs(name, ARCHES)})
    for name, target in {"usr/bin/tool": "/etc/alternatives/tool", "etc/alternatives/tool": "/opt/tool/app"}.items():
        link = project.root / "links" / "links" / name
        link.parent.mkdir(parents=True)
        link.symlink_to(target)
    images = {name: {"dockerfile": "Dockerfile", "context": name} for name in contexts}
    images["firmware"]["foreign"] = ["/data/firmware/**", "/data/a.jar"]
    arches = ["armv7"]
    project.settings(images, arches)
    done = project.push()
    assert done.code == 6, done
    found = {result["component"]: result for result in results(done)}
    where = {"wrong-jar": "/data/a.jar!/native/liba.so", "wrong-script": "/run", "wrong-variant": "/data/tool"}
    for name, path in where.items():
        error = found.pop(name)["error"]
        assert re.match(rf"{name}: linux/arm/v7: layer \d \(sha256:[0-9a-f]{{12}}\): {re.escape(path)}: ", error), error
    assert found == {name: project.pushed(name, "done", arches) for name in ("firmware", "links", "unreadable-names")}
    assert project.published() == {name: ["latest"] for name in found}


# --- errors -----------------------------------------------------------------------------------------------------------

SECRET = "FROM scratch\nRUN --mount=type=secret,id=TOKEN,required=true true\n"
MISSING_DOCKERFILE = "images.app.dockerfile: Containerfile is neither in the project nor in app"
OUTSIDE = "an image is made of what the repository has: move it there"


@pytest.mark.parametrize(
    ("images", "dockerfile", "message", "help_text"),
    [
        ({"app": {**APP, "context": "../outside"}}, PROGRAM, "images.app.context: ../outside is outside of the repository", OUTSIDE),
        ({"app": {**APP, "context": "link"}}, PROGRAM, "images.app.context: link is outside of the repository", OUTSIDE),
        ({"app": {**APP, "context": "absent"}}, PROGRAM, "images.app.context: absent is not a directory",
         "write it relative to the project"),
        ({"app": {**APP, "dockerfile": "Containerfile"}}, PROGRAM, MISSING_DOCKERFILE, "write it relative to one of them"),
        ({"app": APP, "b": {"dockerfile": "Dockerfile", "context": "b"}}, "FROM b\n",
         re.compile(r"images that are based on each other: (app → b → app|b → app → b)"), "let one of them begin with another image"),
        ({"app": {**APP, "secrets": ["TOKEN"]}}, SECRET, "images.app: the variable TOKEN is not set",
         "set what is missing, or leave it out of the settings"),
        ({"app": {**APP, "secrets": ["id=TOKEN,src=token.txt"]}}, SECRET, "images.app: the file token.txt does not exist",
         "set what is missing, or leave it out of the settings"),
        ({"app": APP}, SECRET, "images.app: the Dockerfile requires the secret TOKEN", "add it to images.app.secrets"),
    ],
    ids=["outside", "link to outside", "no context", "no Dockerfile", "cycle", "no variable", "no file", "secret not in settings"],
)  # fmt: skip
def test_an_error_is_one_message_and_nothing_is_pushed(project, images, dockerfile, message, help_text):
    (project.root.parent / "outside").mkdir()
    (project.root / "link").symlink_to(project.root.parent / "outside")
    project.write({"app/Dockerfile": dockerfile, "b/Dockerfile": "FROM app\n", "../outside/Dockerfile": PROGRAM})
    project.settings(images, ["amd64", "arm64"])
    done = project.push(env={"TOKEN": None})
    assert_error(done, 2, message, help_text)
    assert done.err.count("error: ") == 1 and built(done) == [] and project.published() == {}


def test_a_base_image_without_the_platform(project):
    """The error names the nearest tag that has it."""
    base = DockerfileProject(project.root.parent, project.engine)
    base.write({"base/Dockerfile": PROGRAM, **programs("base", ARCHES)})
    for tag, arches in {"1.0": ["amd64"], "1.1": ["amd64", "arm64"]}.items():
        base.settings({"base": {"dockerfile": "Dockerfile", "context": "base"}}, arches)
        assert base.call("image", "--push", "--tag", tag).code == 0
    project.write({"app/Dockerfile": f"FROM {base.where}/base:1.0\n"})
    done = project.push()
    message = re.compile(rf".*{re.escape(base.where)}/base:1\.0.*linux/arm64.*")
    assert_error(done, 6, message, re.compile(r".*\b1\.1\b.*"))
    assert built(done) == [] and project.published() == {}
    project.settings({"app": {**APP, "platforms": ["amd64"]}}, ["amd64", "arm64"])
    assert results(project.push()) == [project.pushed("app", "done", ["amd64"])]


# --- without Rust -----------------------------------------------------------------------------------------------------


def test_every_command_works_without_rust(project, tmp_path):
    """There is no Cargo.toml, and neither cargo nor rustc nor rustup on PATH."""
    env = path_without(tmp_path / "path", lambda name: name.startswith(("cargo", "rust")))
    assert shutil.which("cargo", path=env["PATH"]) is None
    absent = str(tmp_path / "absent")
    env |= {"CARGO": None, "RUSTC": None, "CARGO_HOME": absent, "RUSTUP_HOME": absent}
    project.write({"app/Dockerfile": PROGRAM.replace("scratch", "debian:trixie-slim") + "RUN uname -m > /machine\n"})

    def call(*argv):
        done = project.call(*argv, env=env)
        assert done.code == 0 and "Traceback" not in done.err, (argv, done)
        return done

    assert json.loads(call("lint", "--format", "json").out) == []
    assert "a Docker daemon" in {
        row["need"] for row in json.loads(call("doctor", "--json").out) if row["state"] == "ok"
    }
    assert json.loads(call("config", "--json").out)["images"] == {"value": {"app": APP}, "from": "buildlib.toml"}
    planned = [(job["platform"], job["argv"], job["images"]) for job in json.loads(call("plan", "--json").out)]
    assert planned == [("linux/amd64", [], ["app"]), ("linux/arm64", [], ["app"])]
    pushed = call("image", "--push", "--json")
    assert results(pushed) == [project.pushed("app", "done", ["amd64", "arm64"])]
    compiled = ("app", "RUN uname -m > /machine")
    assert steps(pushed) >= {(*compiled, "linux/amd64", False), (*compiled, "linux/arm64", True)}
    started = {"platform": "linux/arm64", "machine": "aarch64", "started": "exited with code 0 and no output"}
    tested = cases(call("smoke", "--json"))
    assert tested["arm64"] == {"app": started} and tested["amd64"]["app"]["machine"] == "x86_64"
    verified = json.loads(call("verify", f"{project.where}/app:latest", "--json").out)
    image = f"{project.where}/app:latest"
    assert [(row["path"], row["refusals"]) for row in verified] == [
        (f"{image} · linux/amd64 · /app", []), (f"{image} · linux/arm64 · /app", []),
    ]  # fmt: skip
    jobs = yaml.safe_load(call("ci", "--install", "pip install buildlib").out)["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {"lint": None, "images": ["lint"]}
    (tmp_path / "log").write_text("#8 ERROR: failed to solve: failed to fetch oauth token: EOF\n")
    assert json.loads(call("explain", tmp_path / "log", "--json").out)["class"] == "transient-network"
    call("report")
    assert "image --push --json" in (project.root / "target" / "buildlib" / "reports" / "index.html").read_text()
