"""A command divided among machines, each with a clone of its own, and `buildlib merge`."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.request
from types import SimpleNamespace

import pytest
import signatures
from testbed import BUILDLIB, HERE, assert_error, buildlib, run

from buildlib.shards.record import entry_digest

AUTHOR = ("-c", "user.name=a", "-c", "user.email=a@example.org")
ARCHES = ("amd64-musl", "arm64-musl")
FIVE = ("amd64-musl", "386-musl", "arm64-musl", "armv7-musl", "riscv64-musl")
PROGRAM = 'fn main() {\n    println!("hello 1.2.3");\n}\n\n#[test]\nfn works() {}\n'
TOGETHER = "make all parts from the same commit with the same options, and name each of them once"
HELP = "dist/ is unchanged, and no tag was moved"


class Machines:
    """Clones of one repository, as several machines have them."""

    def __init__(self, folder, settings, env):
        self.folder, self.env = folder, env
        self.origin = folder / "origin"
        shutil.copytree(HERE / "workspaces" / "hello", self.origin)
        (self.origin / "src" / "main.rs").write_text(PROGRAM)
        (self.origin / "buildlib.toml").write_text(settings)
        (self.origin / ".gitignore").write_text("/dist\n/target\n/.build-failures.log\n")
        self.git("init", "--quiet")
        self.commit("first")

    def git(self, *words):
        assert run("git", *AUTHOR, *words, cwd=self.origin).code == 0

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def clone(self, name):
        root = self.folder / name
        assert run("git", "clone", "--quiet", self.origin, root).code == 0
        return root

    def start(self, root, *words):
        """Start a command in a clone, for several at the same time."""
        return subprocess.Popen(
            [BUILDLIB, *words],
            cwd=root,
            env=os.environ | self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, root, *words):
        return buildlib(*words, cwd=root, env=self.env)

    def all_at_once(self, roots, *words):
        """Run a command with --shard in all clones at the same time."""
        started = [
            self.start(root, *words, "--shard", f"{number}/{len(roots)}") for number, root in enumerate(roots, 1)
        ]
        for process in started:
            out, err = process.communicate(timeout=1200)
            assert process.returncode == 0, (out, err)


def sums(root):
    return (root / "dist" / "SHA256SUMS").read_text()


def state(root):
    """All files of dist/ with their content; {} without one."""
    dist = root / "dist"
    return {path.relative_to(dist): path.read_bytes() for path in dist.rglob("*") if path.is_file()}


def settings(arches, registry=""):
    return f"arches = {json.dumps(arches)}\n{registry}"


# --- binaries and tests, without Docker ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory, qemu):
    """Two machines that have built and tested an arch each, and a third one. Tests must not change the first two."""
    machines = Machines(tmp_path_factory.mktemp("machines"), settings(ARCHES), {})
    parts = [machines.clone(f"machine-{number}") for number in (1, 2)]
    machines.all_at_once(parts, "build")
    machines.all_at_once(parts, "test")
    return SimpleNamespace(machines=machines, parts=[root / "dist" for root in parts])


@pytest.fixture
def merging(built, tmp_path):
    """A clone to merge in, and copies of the two parts."""
    root = tmp_path / "clone"
    assert run("git", "clone", "--quiet", built.machines.origin, root).code == 0
    parts = [shutil.copytree(part, tmp_path / f"part-{number}") for number, part in enumerate(built.parts, 1)]
    return SimpleNamespace(root=root, parts=parts, merge=lambda *words: built.machines.run(root, "merge", *words))


def test_two_parts_are_the_dist_of_one_machine(built, merging):
    merged = merging.merge(*merging.parts, "--json")
    assert merged.code == 0, merged
    single = built.machines.clone("single")
    assert buildlib("build", "--arch", "all", cwd=single).code == 0
    assert sums(merging.root) == sums(single)
    assert state(merging.root).keys() == state(single).keys()
    verified = buildlib("verify", "--run", cwd=merging.root)
    assert verified.code == 0, verified
    result = json.loads(merged.out)
    assert [entry["path"] for entry in result["binaries"]] == ["amd64-musl/hello", "arm64-musl/hello"]
    assert result["reports"] == ["test-amd64-musl", "test-arm64-musl"]


def test_reports_and_histories_are_those_of_all_machines(merging):
    assert merging.merge(*merging.parts).code == 0
    reports = merging.root / "target" / "buildlib" / "reports"
    assert sorted(path.name for path in reports.iterdir()) == [
        "test-amd64-musl.json", "test-amd64-musl.xml", "test-arm64-musl.json", "test-arm64-musl.xml",
    ]  # fmt: skip
    for part, arch in zip(merging.parts, ARCHES, strict=True):
        original = part.parents[0] / part.name / "shard" / "reports" / f"test-{arch}.json"
        assert json.loads((reports / f"test-{arch}.json").read_text()) == json.loads(original.read_text())
        assert f'name="test-{arch}"' in (reports / f"test-{arch}.xml").read_text()
    history = (merging.root / "target" / "buildlib" / "journal.jsonl").read_text()
    commands = {json.loads(line)["command"] for line in history.splitlines()}
    assert {"build --shard 1/2", "build --shard 2/2", "test --shard 1/2", "test --shard 2/2"} <= commands
    assert merging.merge(*merging.parts).code == 0  # once more: nothing is there twice
    again = (merging.root / "target" / "buildlib" / "journal.jsonl").read_text()
    assert again.count("test --shard 1/2") == history.count("test --shard 1/2")
    page = buildlib("report", cwd=merging.root)
    assert page.code == 0 and "build --shard 2/2" in (reports / "index.html").read_text(), page


def test_file_modes_that_a_ci_system_loses_are_restored(merging):
    for part in merging.parts:
        for path in part.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert merging.merge(*merging.parts).code == 0
    assert (merging.root / "dist" / "arm64-musl" / "hello").stat().st_mode & 0o777 == 0o755


def test_a_missing_and_a_repeated_part(merging):
    one, two = merging.parts
    missing = "these parts cannot be merged:\n  part 2/2 is missing (arm64-musl)"
    assert_error(merging.merge(one), 1, missing, TOGETHER)
    twice = f"these parts cannot be merged:\n  part 1/2 is there 2 times: {one}, {one}"
    assert_error(merging.merge(one, one, two), 1, twice, TOGETHER)
    assert state(merging.root) == {}


def test_parts_of_another_commit_or_of_another_configuration(built, merging):
    one, two = merging.parts
    run("git", *AUTHOR, "commit", "--quiet", "--allow-empty", "--message", "later", cwd=merging.root)
    heads = [run("git", "rev-parse", "HEAD", cwd=root).out[:12] for root in (built.machines.origin, merging.root)]
    lines = [
        f"{part} ({number}/2): from commit {heads[0]}, expected commit {heads[1]}"
        for number, part in enumerate((one, two), 1)
    ]
    message = "\n  ".join(("these parts cannot be merged:", *lines))
    assert_error(merging.merge(one, two), 1, message, TOGETHER)
    run("git", "reset", "--quiet", "--hard", heads[0], cwd=merging.root)
    (merging.root / "src" / "main.rs").write_text("fn main() {}\n")
    changed = merging.merge(one, two)
    assert changed.code == 1 and f"expected commit {heads[0]} with changes " in changed.err, changed
    run("git", "checkout", "--quiet", "src", cwd=merging.root)

    record = two / "shard" / "shard.json"
    other = json.loads(record.read_text())
    other["commands"]["build"]["settings"]["profile"] = "dev"
    record.write_text(json.dumps(other))
    message = (
        f'these parts cannot be merged:\n  {two} (2/2): `build` with profile = "dev", but "release" in {one} (1/2)'
    )
    assert_error(merging.merge(one, two), 1, message, TOGETHER)
    assert state(merging.root) == {}


def test_a_modified_binary_is_refused(merging):
    one, two = merging.parts
    before = state(merging.root)
    binary = two / "arm64-musl" / "hello"
    data = bytearray(binary.read_bytes())
    data[-1] ^= 1
    binary.write_bytes(data)
    refused = merging.merge(one, two)
    assert refused.code == 6, refused
    assert re.search(
        r"^  \S+ \(2/2\): arm64-musl/hello: modified: \d+ bytes, sha256 [0-9a-f]{64}, expected",
        refused.err,
        re.MULTILINE,
    )
    assert state(merging.root) == before


def test_a_binary_of_another_arch_is_refused_though_all_its_digests_are_right(merging):
    """The gate reads the file itself."""
    one, two = merging.parts
    shutil.copy(one / "amd64-musl" / "hello", two / "arm64-musl" / "hello")
    manifest, record = two / "manifest.json", two / "shard" / "shard.json"
    (mine,), (other,) = (json.loads((part / "manifest.json").read_text())["binaries"] for part in (two, one))
    mine |= {"sha256": other["sha256"], "size": other["size"]}
    manifest.write_text(json.dumps({"schema": 1, "binaries": [mine]}))
    data = json.loads(record.read_text())
    data["commands"]["build"] |= {
        "files": {"arm64-musl/hello": other["sha256"]}, "entries": {"arm64-musl/hello": entry_digest(mine)},
    }  # fmt: skip
    record.write_text(json.dumps(data))
    message = f"the gate refused\n  {two} (2/2): arm64-musl/hello: machine: 62 (amd64), expected 183 (arm64)"
    assert_error(merging.merge(one, two), 6, message, HELP)


def test_failed_tests_are_reported_and_nothing_is_published(merging):
    one, two = merging.parts
    name = "shard/reports/test-arm64-musl.json"
    report = json.loads((two / name).read_text()) | {"code": 7, "error": "arm64-musl: x::y failed"}
    data = json.dumps(report).encode()
    (two / name).write_bytes(data)
    record = json.loads((two / "shard" / "shard.json").read_text())
    record["commands"]["test"]["files"] = {name: hashlib.sha256(data).hexdigest()}
    (two / "shard" / "shard.json").write_text(json.dumps(record))
    reports = merging.root / "target" / "buildlib" / "reports"
    message = "nothing is published, because tests failed: arm64-musl: x::y failed"
    assert_error(merging.merge(one, two), 7, message, f"the reports are in {reports}")
    assert (reports / "test-arm64-musl.xml").is_file() and state(merging.root) == {}


def test_more_parts_than_arches(built, tmp_path):
    parts = [built.machines.clone(f"of-three-{number}") for number in (1, 2, 3)]
    for root, other in zip(parts, (*built.parts, built.parts[0]), strict=True):
        shutil.copytree(other.parent / "target", root / "target")
    built.machines.all_at_once(parts, "build")
    assert (parts[2] / "dist" / "manifest.json").exists() is False
    root = built.machines.clone("merged-of-three")
    merged = buildlib("merge", *(part / "dist" for part in parts), cwd=root)
    assert merged.code == 0, merged
    assert [line.split()[1] for line in sums(root).splitlines() if "json" not in line] == [
        "amd64-musl/hello",
        "arm64-musl/hello",
    ]


# --- images -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pushed(engine, tmp_path_factory):
    """Two machines that have built and pushed an arch each, and the index that one machine has pushed as `single`."""
    text = settings(ARCHES, engine.settings()).replace("/acme", "/merge")
    machines = Machines(tmp_path_factory.mktemp("pushed"), text, engine.env)
    single = machines.clone("single")
    done = machines.run(single, "image", "--push", "--tag", "single")
    assert done.code == 0, done
    parts = [machines.clone(f"machine-{number}") for number in (1, 2)]
    for number, root in enumerate(parts, 1):
        done = machines.run(root, "image", "--push", "--shard", f"{number}/2")
        assert done.code == 0, done
    repository = Repository(engine.registry, "merge/hello")
    return SimpleNamespace(
        machines=machines, single=single, parts=[root / "dist" for root in parts], repository=repository
    )


class Repository:
    """Manifests of a repository in the tests' registry."""

    def __init__(self, registry, name):
        self.address = f"http://{registry}/v2/{name}"

    def read(self, tag):
        """The bytes under a tag, None without any."""
        kinds = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
        request = urllib.request.Request(f"{self.address}/manifests/{tag}", headers={"Accept": kinds})
        try:
            return urllib.request.urlopen(request).read()
        except urllib.error.HTTPError:
            return None

    def write(self, tag, data):
        kind = {"Content-Type": json.loads(data)["mediaType"]}
        request = urllib.request.Request(f"{self.address}/manifests/{tag}", data=data, headers=kind, method="PUT")
        assert urllib.request.urlopen(request).status == 201


def test_two_parts_become_the_index_of_one_machine(pushed):
    assert pushed.repository.read("two") is None  # no part has moved a tag
    root = pushed.machines.clone("merged")
    dry = pushed.machines.run(root, "merge", "--dry-run", "--tag", "two", *pushed.parts)
    assert (dry.code, pushed.repository.read("two"), state(root)) == (0, None, {}), dry
    merged = pushed.machines.run(root, "merge", "--tag", "two", "--json", *pushed.parts)
    assert merged.code == 0, merged
    assert pushed.repository.read("two") == pushed.repository.read("single")
    (image,) = json.loads(merged.out)["images"]
    assert (image["status"], image["platforms"], image["tags"]) == ("done", ["linux/amd64", "linux/arm64"], ["two"])
    assert sums(root) == sums(pushed.single)
    again = json.loads(pushed.machines.run(root, "merge", "--tag", "two", "--json", *pushed.parts).out)["images"]
    assert again == [{**image, "status": "unchanged"}]
    # One machine, too, finds that there is nothing to do.
    same = pushed.machines.run(pushed.single, "image", "--push", "--no-build", "--tag", "two", "--json")
    assert [(one["status"], one["digest"]) for one in json.loads(same.out)] == [("unchanged", image["digest"])]
    name = f"{image['where']}:two"
    verified = pushed.machines.run(root, "verify", name)
    assert verified.code == 0, verified


def test_a_merged_image_is_signed(pushed, engine, key, verifier):
    root, env = pushed.machines.clone("signed"), pushed.machines.env | key.env
    words = ("merge", "--tag", "signed", "--sign", key.private, "--attest", "sbom", *pushed.parts)
    merged = buildlib(*words, cwd=root, env=env)
    assert merged.code == 0 and f"hello: signed with {key.private}: index and 2 platforms" in merged.err, merged
    repository = signatures.Repository(engine.registry, "merge/hello")
    index = repository.manifest("signed")
    for subject, number in {
        signatures.digest(index): 1,
        **dict.fromkeys(repository.platforms(index).values(), 2),
    }.items():
        verified = [verifier.statement(bundle, key.public, subject) for bundle in repository.bundles(subject)]
        assert [error for _, error in verified] == [""] * number
    accepted = buildlib("verify", f"{repository.reference}:signed", "--key", key.public, cwd=root, env=env)
    assert accepted.code == 0, accepted


def test_a_part_checks_what_it_has_pushed_before_it_has_a_tag(pushed):
    assert pushed.repository.read("1.2.3") is None  # the tag that `smoke` would pull otherwise
    for number, arch in enumerate(ARCHES, 1):
        done = pushed.machines.run(pushed.parts[number - 1].parent, "smoke", "--shard", f"{number}/2", "--json")
        assert done.code == 0, done
        (result,) = json.loads(done.out)
        ((name, cases),) = [(suite["name"], suite["cases"]) for suite in result["suites"]]
        assert (result["arch"], name) == (arch, "hello") and "passed" in {case["result"] for case in cases}


def changed(pushed, tmp_path, change):
    """Copies of the parts, of which the second has another record."""
    parts = [shutil.copytree(part, tmp_path / f"part-{number}") for number, part in enumerate(pushed.parts, 1)]
    record = parts[1] / "shard" / "shard.json"
    data = json.loads(record.read_text())
    change(data["commands"]["image"]["images"], json.loads((parts[0] / "shard" / "shard.json").read_text()))
    record.write_text(json.dumps(data))
    return parts


def test_images_that_do_not_fit_move_no_tag(pushed, tmp_path):
    root = pushed.machines.clone("refused")

    def refused(name, change, code, text):
        parts = changed(pushed, tmp_path / name, change)
        result = pushed.machines.run(root, "merge", "--tag", "refused", *parts)
        assert result.code == code and text in result.err and "Traceback" not in result.err, result
        assert (pushed.repository.read("refused"), state(root)) == (None, {})

    def of_the_other_arch(images, other):
        image = other["commands"]["image"]["images"]["hello"]
        images["hello"]["digests"] = image["digests"]

    def unknown(images, _):
        images["hello"]["digests"] = [f"sha256:{'0' * 64}"]

    def elsewhere(images, _):
        images["hello"]["repository"] = "evil.test/hello"

    def of_no_platform(images, _):
        images["hello"]["platforms"] = {}

    refused("arch", of_the_other_arch, 6, "hello: linux/amd64, expected linux/arm64")
    refused("unknown", unknown, 1, ": not found")
    refused("elsewhere", elsewhere, 1, "hello is in evil.test/hello, expected ")
    refused("platform", of_no_platform, 1, "hello for no platform, expected linux/arm64")
    refused("missing", lambda images, _: images.clear(), 1, "hello for no platform, expected linux/arm64")


@pytest.mark.extended
def test_a_merge_that_is_killed_leaves_each_tag_old_or_complete(pushed):
    root, tags = pushed.machines.clone("killed"), ("killed-1", "killed-2", "killed-3")
    old, new = pushed.repository.read(json.loads((pushed.parts[0] / "shard/shard.json").read_text())["commands"]["image"]
                                      ["images"]["hello"]["digests"][0]), pushed.repository.read("single")  # fmt: skip
    words = ("merge", "--tag", ",".join(tags), *pushed.parts)
    began = time.monotonic()
    assert pushed.machines.run(root, *words).code == 0
    whole = time.monotonic() - began
    seen = []
    for point in range(1, 11):
        for tag in tags:
            pushed.repository.write(tag, old)
        shutil.rmtree(root / "dist", ignore_errors=True)
        process = pushed.machines.start(root, *words)
        time.sleep(whole * (0.5 + point / 20))  # the first half is the start of Python, and reading
        process.kill()
        process.communicate()
        found = [pushed.repository.read(tag) for tag in tags]
        assert set(found) <= {old, new}
        seen.append(found.count(new))
    # At least one was killed before its end; pytest shows how far each one came if none was.
    assert min(seen) < len(tags), seen
    assert pushed.machines.run(root, *words).code == 0
    assert [pushed.repository.read(tag) for tag in tags] == [new] * len(tags)


@pytest.mark.extended
def test_five_processes_in_five_clones_are_one_machine(engine, tmp_path):
    """At the same time, with one builder. Then one part is missing, one is from another commit, one has another binary."""
    text = settings(FIVE, engine.settings()).replace("/acme", "/five")
    machines = Machines(tmp_path, text, engine.env)
    roots = [machines.clone(f"machine-{number}") for number in range(1, 6)]
    machines.all_at_once(roots, "build")
    machines.all_at_once(roots, "image", "--push", "--no-build")
    parts, repository = [root / "dist" for root in roots], Repository(engine.registry, "five/hello")
    root = machines.clone("merged")

    without = machines.run(root, "merge", *parts[:2], *parts[3:])
    assert_error(without, 1, "these parts cannot be merged:\n  part 3/5 is missing (arm64-musl)", TOGETHER)

    record = parts[3] / "shard" / "shard.json"
    before = record.read_text()
    commit = json.loads(before)["commit"]
    record.write_text(before.replace(commit, "0" * 40))
    lines = f"{parts[3]} (4/5): from commit {'0' * 12}, expected commit {commit[:12]}"
    assert_error(machines.run(root, "merge", *parts), 1, f"these parts cannot be merged:\n  {lines}", TOGETHER)
    record.write_text(before)

    binary = parts[4] / "riscv64-musl" / "hello"
    data = binary.read_bytes()
    binary.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    modified = machines.run(root, "merge", *parts)
    assert modified.code == 6 and "(5/5): riscv64-musl/hello: modified: " in modified.err, modified
    binary.write_bytes(data)
    assert (repository.read("latest"), state(root)) == (None, {})

    merged = machines.run(root, "merge", *parts)
    assert merged.code == 0, merged
    single = machines.clone("single")
    done = machines.run(single, "image", "--push", "--tag", "single")
    assert done.code == 0, done
    assert (repository.read("latest"), sums(root)) == (repository.read("single"), sums(single))
