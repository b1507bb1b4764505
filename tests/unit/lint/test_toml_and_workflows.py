"""Findings in Cross.toml, .cargo/config.toml and GitHub workflows."""

from pathlib import Path

import pytest

from buildlib.lint.check import check


def findings(path, text):
    return [(finding.line, finding.rule, finding.severity) for finding in check(Path(path), text.encode(), {})]


def test_expressions_without_an_end_take_no_longer_than_others(assert_linear):
    def check_nothing_found(expressions):
        workflow = f"jobs: {{a: {{runs-on: b, steps: [run: '{expressions}']}}}}\n"
        assert findings(".github/workflows/a.yml", workflow) == []

    assert_linear(check_nothing_found, "${{")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[target.aarch64-unknown-linux-gnu]\nlinker = "/opt/cross/bin/ld"\n', [(2, "host-only-linker", "warning")]),
        (
            '[target.aarch64-unknown-linux-gnu]\nrunner = ["/home/me/qemu", "-L"]\n',
            [(2, "host-only-linker", "warning")],
        ),
        ('[target.aarch64-unknown-linux-gnu]\nlinker = "x86_64-linux-gnu-gcc"\n', [(2, "wrong-arch-mapping", "error")]),
        (
            '[target.x86_64-unknown-linux-gnu]\nlinker = "clang"\n[target.armv7-unknown-linux-gnueabihf]\n'
            'linker = "aarch64-linux-gnu-gcc"\n',
            [(4, "wrong-arch-mapping", "error")],
        ),
        ('[build]\ntarget = "x86_64-unknown-linux-musl"\n', [(2, "hardcoded-target-triple", "error")]),
        ('[target.aarch64-unknown-linux-gnu]\nlinker = "aarch64-linux-gnu-gcc"\nrunner = "qemu-aarch64"\n', []),
        ('[target.armv7-unknown-linux-gnueabihf]\nlinker = "/usr/bin/arm-linux-gnueabihf-gcc"\n', []),
        ('[target.riscv64gc-unknown-linux-gnu]\nlinker = "~/riscv/bin/gcc"\n', [(2, "host-only-linker", "warning")]),
        ('[target.aarch64-unknown-linux-musl]\nar = "/Users/me/bin/ar"\n', [(2, "host-only-linker", "warning")]),
        ('[target.i686-unknown-linux-gnu]\nlinker = "aarch64-linux-gnu-gcc"\n', [(2, "wrong-arch-mapping", "error")]),
        ('[target.x86_64-unknown-linux-gnu]\nrunner = "qemu-aarch64 -L /usr"\n', [(2, "wrong-arch-mapping", "error")]),
        ('[build]\ntarget = "aarch64-unknown-linux-gnu"\n', [(2, "hardcoded-target-triple", "error")]),
        ('[build]\ntarget = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]\n', []),
        ('[target.x86_64-unknown-linux-gnu]\nlinker = "clang"\nrustflags = ["-C", "link-arg=-fuse-ld=mold"]\n', []),
        ('[target.i686-unknown-linux-gnu]\nlinker = "i686-linux-gnu-gcc"\n', []),
        ('[target.aarch64-unknown-linux-gnu]\nlinker = "/usr/bin/aarch64-linux-gnu-gcc"\n', []),
        ("[alias]\nb = 'build --target x86_64-unknown-linux-gnu'\n", []),
        ('[target."cfg(unix)"]\nlinker = "clang"\n[build]\njobs = 1\n', []),
        ("[target\n", []),
    ],
)
def test_cargo_config(text, expected):
    assert findings(".cargo/config.toml", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[target.aarch64-unknown-linux-gnu]\nimage = "acme/cross-x86_64:1"\n',
            [(2, "cross-image-platform", "warning")],
        ),
        ('[build]\nimage = "acme/cross:amd64"\n', [(2, "cross-image-platform", "warning")]),
        (
            '[build]\npre-build = ["curl -LO https://a.test/protoc-linux-x86_64.zip"]\n',
            [(2, "hardcoded-arch-download", "error")],
        ),
        ('[target.aarch64-unknown-linux-gnu]\npre-build = ["apt-get install -y libssl-dev:arm64"]\n', []),
        ('[build]\npre-build = ["apt-get install -y libssl-dev:$CROSS_DEB_ARCH"]\n', []),
        ('[target.armv7-unknown-linux-gnueabihf]\nimage = { name = "acme/armv7" }\n', []),
        (
            '[target.armv7-unknown-linux-gnueabihf]\nimage = { name = "acme/arm64" }\n',
            [(2, "cross-image-platform", "warning")],
        ),
        ('[target.riscv64gc-unknown-linux-gnu]\nimage = "acme/base:s390x"\n', [(2, "cross-image-platform", "warning")]),
        ('[build]\nimage = "acme/x86_64"\n', [(2, "cross-image-platform", "warning")]),
        (
            '[build.env]\npassthrough = ["A"]\n[target.x86_64-unknown-linux-musl]\nimage = "acme/x86_64-unknown-linux-musl"\n',
            [],
        ),
        ('[target.aarch64-unknown-linux-gnu]\nimage = "acme/cross"\n', []),
        ('[build]\npre-build = "./script.sh"\n', []),
    ],
)
def test_cross_toml(text, expected):
    assert findings("Cross.toml", text) == expected


WORKFLOW = """on: push
jobs:
  a:
    runs-on: {runner}
    steps:
      - uses: actions/checkout@v4
      - name: x
        {condition}
        run: {run}
"""


@pytest.mark.parametrize(
    ("runner", "condition", "run", "expected"),
    [
        ("ubuntu-24.04", "", "curl -LO https://a.test/b-amd64.tgz", [(9, "hardcoded-arch-download", "info")]),
        ("${{ matrix.os }}", "", "curl -LO https://a.test/b-amd64.tgz", [(9, "hardcoded-arch-download", "warning")]),
        (
            "${{ matrix.os }}", "", "|\n          set -eu\n          curl -LO https://a.test/b-amd64.tgz",
            [(11, "hardcoded-arch-download", "warning")],
        ),
        ("${{ matrix.os }}", "", "'curl -LO https://a.test/b-amd64.tgz'", [(9, "hardcoded-arch-download", "warning")]),
        ("${{ matrix.os }}", "if: matrix.arch == 'amd64'", "curl -LO https://a.test/b-amd64.tgz", []),
        ("${{ matrix.os }}", "", "curl -LO https://a.test/b-${{ matrix.arch }}.tgz", []),
        ("ubuntu-24.04", "", "cargo build", []),
    ],
)  # fmt: skip
def test_workflows(runner, condition, run, expected):
    text = WORKFLOW.format(runner=runner, condition=condition or "env: {}", run=run)
    assert findings(".github/workflows/ci.yml", text) == expected


@pytest.mark.parametrize(
    "text", ["a: [", "[]", "a", "jobs: [a]", "jobs: {a: {steps: [{run: [a]}]}}", "", "\0", "[" * 5000]
)
def test_a_file_that_is_not_a_workflow_has_no_findings(text):
    assert findings(".github/workflows/ci.yml", text) == []


@pytest.mark.parametrize(
    ("path", "text", "messages"),
    [
        (
            ".cargo/config.toml",
            '[target.aarch64-unknown-linux-gnu]\nlinker = "/opt/bin/ld"\nrunner = "qemu-x86_64"\n'
            '[build]\ntarget = "x86_64-unknown-linux-musl"\n',
            [
                "linker of aarch64-unknown-linux-gnu is /opt/bin/ld, which only some machines have",
                "runner of aarch64-unknown-linux-gnu is qemu-x86_64, which is for amd64",
                "build.target is x86_64-unknown-linux-musl for every build of this workspace",
            ],
        ),
        (
            "Cross.toml",
            '[build]\nimage = "a:amd64"\n[target.aarch64-unknown-linux-gnu]\nimage = "b:armv7"\n',
            [
                "the image for all targets is a:amd64, which is for amd64",
                "the image for aarch64-unknown-linux-gnu is b:armv7, which is for armv7",
            ],
        ),
    ],
)
def test_messages(path, text, messages):
    assert [finding.message for finding in check(Path(path), text.encode(), {})] == messages
