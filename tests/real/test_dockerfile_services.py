"""Services made of Debian's packages, each as one of them is usually built, beside the binaries of this workspace in one call."""

import shutil
import sys

import base_images
import pytest
from dockerfile_project import DockerfileProject, built, cases, results, steps, targetarch
from testbed import PROGRAMS, run

from buildlib.core.targets import TARGETS

pytestmark = pytest.mark.slow
TWO, FOUR = ("amd64", "armv7"), ("amd64", "arm64", "armv7", "riscv64")
MACHINES = {"amd64": "x86_64", "arm64": "aarch64", "armv7": "armv7l", "riscv64": "riscv64"}
IMAGES = ("client", "redis", "runtime", "web", "wheel")
# The tags of the wheels that run on trixie's C library.
WHEELS = {"amd64": "2_17_x86_64", "arm64": "2_17_aarch64", "armv7": "2_31_armv7l", "riscv64": "2_31_riscv64"}


def service(engine, name, **more):
    arguments = {"BASES": f"{engine.registry}/bases"}
    return {"dockerfile": "Dockerfile", "context": f"tests/real/images/{name}", "build-args": arguments, **more}


@pytest.fixture(params=[TWO, pytest.param(FOUR, marks=pytest.mark.extended)], ids=["two", "four"])
def arches(request):
    return request.param


@pytest.fixture
def services(engine, shared_project, tmp_path, arches):
    """A copy of this workspace with binaries, and with images of services in its settings; and what these images begin with."""
    debian = [name for name, arch in base_images.DEBIAN_ARCHES.items() if arch in map(targetarch, arches)]
    versions = base_images.publish_services(engine, tmp_path, debian)
    project = DockerfileProject(shutil.copytree(shared_project.root, tmp_path / "main"), engine)
    for arch in arches:
        wheels = project.root / "tests" / "real" / "images" / "wheel" / "wheels" / targetarch(arch)
        version = ("--python-version", versions[targetarch(arch)], "--platform", f"manylinux_{WHEELS[arch]}")
        flags = ("--no-deps", "--only-binary=:all:", *version)
        downloaded = run(sys.executable, "-m", "pip", "download", *flags, "--dest", wheels, "MarkupSafe>=3.0.3,<4")
        assert downloaded.code == 0, downloaded
    project.images = {
        "client": service(engine, "client", says={"all": ["cli-command 0.1.0 ("]}),
        "runtime": service(engine, "runtime"),
        "redis": service(
            engine, "redis", ports=[6379], says={"all": ["Ready to accept connections"]}, health="redis-cli ping"
        ),
        "web": service(engine, "web", ports=[8080], says={"all": ["serving 45 bytes"], "armv7": ["on arm"]}),
        "wheel": service(engine, "wheel", ports=[8000], says={"all": ["with markupsafe._speedups"]}),
    }
    project.settings(project.images, arches)
    return project


def push_all(project):
    done = project.push("--no-build", "--component", "all")
    assert done.code == 0, done
    return done, sorted(results(done), key=lambda result: result["component"])


def pushed(project, images, status, arches):
    """The results of the binaries' images and of these."""
    found = [project.pushed(name, status, arches) for name in images]
    found += [project.pushed(name, status, arches, ("0.1.0", "latest")) for name in PROGRAMS]
    return sorted(found, key=lambda result: result["component"])


def assert_services_run(project, arches, *names):
    """Each image was started for each platform, ran there, and did what its settings say."""
    done = project.call("smoke", "--component", ",".join(names), "--json")
    assert done.code == 0, done
    tested = cases(done)
    assert set(tested) == set(arches)
    for arch, images in tested.items():
        assert set(images) == set(names)
        for found in images.values():
            assert (found["platform"], found["machine"]) == (TARGETS[arch].oci, MACHINES[arch])
            assert list(found) == ["platform", "machine", "service"]


def test_services_and_binaries_in_one_call(services, arches):
    done, actual = push_all(services)
    assert actual == pushed(services, IMAGES, "done", arches)
    platforms = [TARGETS[arch].oci for arch in arches]
    # The Go compiler runs on this machine's platform for all of them.
    compiled = {
        target: emulated for name, title, target, emulated in steps(done) if name == "web" and "go build" in title
    }
    assert compiled == dict.fromkeys(platforms, False)
    for name, base in {"web": "runtime", "client": "cli-command"}.items():
        for target in platforms:
            assert services.layers(name, target)[:-1] == services.layers(base, target)
    assert_services_run(services, arches, "redis", "web", "wheel")
    done, actual = push_all(services)
    assert actual == pushed(services, IMAGES, "unchanged", arches) and built(done) == []


@pytest.mark.extended
@pytest.mark.parametrize("arches", [FOUR], ids=["four"])
def test_a_java_service_beside_the_others(engine, services, arches, tmp_path):
    base_images.publish_java(engine, tmp_path)
    java = service(engine, "java", ports=[8080], says={"all": ["serving on"]})
    services.settings({**services.images, "java": java}, arches)
    done, actual = push_all(services)
    assert [result for result in actual if result["component"] == "java"] == [services.pushed("java", "done", arches)]
    compiled = {
        target: emulated for name, title, target, emulated in steps(done) if name == "java" and "javac" in title
    }
    assert set(compiled.values()) == {False}
    assert_services_run(services, arches, "java")
    done, actual = push_all(services)
    assert actual == pushed(services, (*IMAGES, "java"), "unchanged", arches) and built(done) == []
