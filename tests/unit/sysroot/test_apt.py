from pathlib import Path

import pytest

from buildlib.core.errors import BuildError, NetworkError, UsageError
from buildlib.core.plan import Outcome, Step, Write
from buildlib.sysroot import apt
from buildlib.sysroot.apt import Apt, Package

APT = Apt(folder=Path("/c/apt"), arch="arm64", suite="trixie")
SSL = Package(name="libssl3t64", version="3.5.9-1~deb13u1", file="libssl3t64_3.5.9-1~deb13u1_arm64.deb")
ZLIB = Package(name="zlib1g", version="1:1.3-1", file="zlib1g_1%3a1.3-1_arm64.deb")
URIS = """Reading package lists...
The following NEW packages will be installed:
  libssl-dev
'http://m.test/pool/libc6_2.41-12_arm64.deb' libc6_2.41-12_arm64.deb 2488872 MD5Sum:1e84
'http://m.test/pool/linux-libc-dev_6.12_all.deb' linux-libc-dev_6.12_all.deb 31 SHA256:1e84
'http://m.test/pool/gcc-14-base_14.2.0-19_arm64.deb' gcc-14-base_14.2.0-19_arm64.deb 1 MD5Sum:1
'http://m.test/pool/libgcc-14-dev_14.2.0-19_arm64.deb' libgcc-14-dev_14.2.0-19_arm64.deb 1 MD5Sum:1
'http://m.test/pool/libstdc++-14-dev_14.2.0-19_arm64.deb' libstdc++-14-dev_14.2.0-19_arm64.deb 1 MD5Sum:1
'http://m.test/pool/libc6-dev_2.41-12_arm64.deb' libc6-dev_2.41-12_arm64.deb 1 MD5Sum:1
'http://m.test/pool/zlib1g_1.3-1_arm64.deb' zlib1g_1%3a1.3-1_arm64.deb 85028 MD5Sum:8eb6
'http://m.test/pool/libssl3t64.deb' libssl3t64_3.5.9-1~deb13u1_arm64.deb 2775368 
'http://m.test/pool/perl_5.40_arm64.deb' perl_5.40_arm64.deb 1 MD5Sum:1
"""  # noqa: W291  apt prints the space where a list has no weak checksum


def test_the_packages_are_those_of_apt_s_answer_without_what_compilers_bring():
    libc = Package(name="libc6", version="2.41-12", file="libc6_2.41-12_arm64.deb")
    perl = Package(name="perl", version="5.40", file="perl_5.40_arm64.deb")
    assert apt.packages(URIS) == (libc, ZLIB, SSL, perl)
    assert apt.packages("E: nothing") == ()


def test_programs_are_left_out_unless_they_are_asked_for():
    names = {
        "a": "libs",
        "b": "libdevel",
        "c": "oldlibs",
        "d": "perl",
        "e": "non-free/libs",
        "f-dev": "devel",
        "g": "utils",
    }
    packages = tuple(Package(name=name, version="1", file=f"{name}.deb") for name in (*names, "unknown"))
    text = "\n".join(
        f"Package: {name}\nVersion: 1\nDescription: x\n more: y\nSection: {section}\n"
        for name, section in names.items()
    )
    assert [one.name for one in apt.useful(packages, text, ["g=1"])] == ["a", "b", "c", "e", "f-dev", "g"]


def test_commands_read_a_private_configuration():
    steps = (APT.update(), APT.resolve(["libssl-dev"]), APT.show([ZLIB]), APT.download([ZLIB, SSL]))
    assert [step.argv for step in steps] == [
        ("apt-get", "update"),
        ("apt-get", "install", "--yes", "--no-install-recommends", "--print-uris", "libssl-dev"),
        ("apt-cache", "show", "zlib1g=1:1.3-1"),
        ("apt-get", "download", "zlib1g=1:1.3-1", "libssl3t64=3.5.9-1~deb13u1"),
    ]
    assert [dict(step.env) for step in steps] == [{"APT_CONFIG": "/c/apt/apt.conf", "LC_ALL": "C"}] * 4
    assert steps[3].cwd == Path("/c/apt/packages")


def test_the_configuration_names_no_file_of_the_machine_but_its_keys():
    configuration, sources, installed, *places = APT.files("deb x\n")
    assert sources == Write(path=Path("/c/apt/sources.list"), text="deb x\n")
    assert [write.path.parent for write in places] == [
        Path("/c/apt/state/lists/partial"), Path("/c/apt/cache/archives/partial"), Path("/c/apt/packages"),
    ]  # fmt: skip
    stanza = "Package: libc6-dev\nStatus: install ok installed\nArchitecture: arm64\nVersion: 99\nProvides: libc-dev\n"
    assert installed == Write(path=Path("/c/apt/status"), text=stanza)
    lines = configuration.text.splitlines()
    assert lines[:3] == ["#clear APT::Architectures;", 'APT::Architectures { "arm64"; };', 'APT::Architecture "arm64";']
    elsewhere = [line for line in lines if '"/' in line and '"/c/apt' not in line]
    assert elsewhere == [
        'Dir::Etc::SourceParts "/dev/null";', f'Dir::Etc::Trusted "{apt.KEYRING}";',
        'Dir::Etc::Preferences "/dev/null";', 'Dir::Etc::PreferencesParts "/dev/null";',
    ]  # fmt: skip


INDEXES = """http://m.test/debian/ bookworm
http://m.test/debian/ bookworm-updates
http://s.test/sec/ bookworm-security
http://n.test/ nodistro
"""


@pytest.mark.parametrize(
    ("suite", "mirror", "indexes", "codename", "expected"),
    [
        ("trixie", "", INDEXES, "bookworm", ["http://m.test/debian/ trixie", "http://s.test/sec/ trixie-security"]),
        ("sid", "", INDEXES, "bookworm", ["http://m.test/debian/ sid"]),
        ("trixie", "https://x.test/d", INDEXES, "bookworm", ["https://x.test/d trixie"]),
        ("trixie", "", INDEXES, "", [f"{apt.MIRROR} trixie", f"{apt.SECURITY_MIRROR} trixie-security"]),
        ("testing", "", "", "", [f"{apt.MIRROR} testing"]),
    ],
)
def test_the_machine_s_mirrors_are_used_for_another_suite(suite, mirror, indexes, codename, expected):
    assert apt.sources(suite, "arm64", mirror, indexes, codename) == "".join(
        f"deb [arch=arm64] {row} main\n" for row in expected
    )


def test_a_directory_needs_no_signature():
    assert apt.sources("trixie", "armhf", "file:/m", "", "") == "deb [arch=armhf trusted=yes] file:/m trixie main\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\n", "bookworm"),
        ('VERSION_CODENAME="trixie"\nID=debian', "trixie"),
        ("ID=ubuntu\nVERSION_CODENAME=noble\n", ""),
        ("ID=debian\n", ""),
        ("", ""),
    ],
)
def test_the_codename_is_a_debian_s(text, expected):
    assert apt.codename(text) == expected


def failed(output, stdout="", code=100):
    return Outcome(step=Step(title="t", argv=("apt-get",)), code=code, seconds=0, stdout=stdout, output=output)


@pytest.mark.parametrize(
    ("output", "stdout", "expected"),
    [
        ("E: Unable to locate package libx-dev", "", (UsageError, "libraries: Debian trixie for arm64 has no package libx-dev")),
        ("E: Package 'libx-dev' has no installation candidate", "",
         (UsageError, "libraries: Debian trixie for arm64 has no package libx-dev")),
        ("E: Version '9' for 'libssl-dev' was not found", "", (UsageError, "libraries: Debian trixie for arm64 has no libssl-dev=9")),
        ("E: The repository 'http://m.test/debian potato Release' does not have a Release file.", "",
         (UsageError,
          "suite: the mirror has no trixie: The repository 'http://m.test/debian potato Release' does not have a Release file.")),
        ("E: Unable to correct problems, you have held broken packages.",
         "The following packages have unmet dependencies:\n b-dev : Conflicts: a1 but 1.0 is to be installed\n",
         (UsageError, "libraries: a b cannot be installed together: b-dev : Conflicts: a1 but 1.0 is to be installed")),
        ("E: Failed to fetch http://m.test/x  Could not connect to m.test:80 (1.2.3.4). - connect (111: Connection refused)", "",
         (NetworkError, "Debian trixie for arm64: Failed to fetch http://m.test/x  Could not connect to m.test:80 (1.2.3.4)."
          " - connect (111: Connection refused)")),
        ("W: GPG error: NO_PUBKEY 0E98404D386FA1D9\nE: The repository 'x' is not signed.", "",
         (BuildError, "Debian trixie for arm64: The repository 'x' is not signed.")),
        ("E: something else", "", (BuildError, "Debian trixie for arm64: something else")),
    ],
)  # fmt: skip
def test_what_apt_says_becomes_an_error(output, stdout, expected):
    error = apt.error(failed(output, stdout), APT, ["a", "b"])
    assert (type(error), error.message) == expected


def test_listings_say_whose_file_it_is():
    listing = """drwxr-xr-x root/root         0 2026-01-01 00:00 ./
drwxr-xr-x root/root         0 2026-01-01 00:00 ./usr/lib/
-rw-r--r-- root/root     66216 2026-01-01 00:00 ./usr/lib/x/libz.so.1.3
lrwxrwxrwx root/root         0 2026-01-01 00:00 ./usr/lib/x/libz.so.1 -> libz.so.1.3
-rw-r--r-- root/root        10 2026-01-01 00:00 ./usr/share/a name
"""
    assert apt.contents({"zlib1g": listing, "b": ""}) == {
        "usr/lib/x/libz.so.1.3": "zlib1g", "usr/lib/x/libz.so.1": "zlib1g", "usr/share/a name": "zlib1g",
    }  # fmt: skip
