"""Cross.toml, cargo's configuration and GitHub's workflows."""

from pathlib import Path

import pytest

from buildlib.lint.check import check


def told(path, text):
    return [(one.line, one.rule, one.severity) for one in check(Path(path), text.encode(), {})]


@pytest.mark.parametrize(
    ("text", "want"),
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
def test_cargo_s_configuration(text, want):
    assert told(".cargo/config.toml", text) == want


@pytest.mark.parametrize(
    ("text", "want"),
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
def test_cross(text, want):
    assert told("Cross.toml", text) == want


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
    ("runner", "condition", "run", "want"),
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
def test_workflows(runner, condition, run, want):
    text = WORKFLOW.format(runner=runner, condition=condition or "env: {}", run=run)
    assert told(".github/workflows/ci.yml", text) == want


def test_what_is_no_workflow_is_passed_over():
    assert told(".github/workflows/ci.yml", "a: [") == told(".github/workflows/ci.yml", "[]") == []
