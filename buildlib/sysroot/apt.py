"""A private apt for the packages of another architecture and another suite: its configuration, its commands, their answers.

apt(8) reads everything below the machine's own configuration, so that proxies and credentials (apt.conf.d, auth.conf.d) hold. Lists,
cache and the list of installed packages are its own, and nothing needs root. apt verifies what it downloads with its signed lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from buildlib.core.errors import BuildError, NetworkError, UsageError
from buildlib.core.plan import Outcome, Step, Write
from buildlib.emulation.apt_cache import file_names
from buildlib.failures.classify import classify

MIRROR, SECURITY_MIRROR = "http://deb.debian.org/debian", "http://deb.debian.org/debian-security"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ROLLING = ("sid", "unstable", "testing", "experimental")  # suites without security updates of their own
# What the compiler brings by itself: headers of another C library would be found before its own.
OF_COMPILERS = re.compile(r"libc6-dev(-.*)?|libc-dev-bin|linux-libc-dev|lib(gcc|stdc\+\+)-\d+-dev|gcc-\d+-base")
# The list of installed packages. Those of Debian 12's libc6-dev need libnsl-dev and so Kerberos and OpenSSL, of a newer glibc.
INSTALLED = """\
Package: libc6-dev
Status: install ok installed
Architecture: {arch}
Version: 99
Provides: libc-dev
"""
FILE_NAME = re.compile(r"([^\s_/]+)_([^\s_/]+)_[^\s_/]+\.deb")
SECTIONS = ("libs", "libdevel", "oldlibs")  # other packages have programs and data that no compiler reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that apt would install: a row of its answer."""

    name: str
    version: str
    file: str  # its name in the directory into which apt downloads it


@dataclass(frozen=True, slots=True, kw_only=True)
class Apt:
    """A private apt in `folder`, for the Debian architecture `arch`."""

    folder: Path
    arch: str
    suite: str

    def files(self, sources: str) -> tuple[Write, ...]:
        """Return its configuration. `sources` is the text of its sources.list."""
        folder = self.folder
        settings = {
            "APT::Architecture": self.arch,
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",
            "APT::Update::Error-Mode": "any",  # otherwise it succeeds without the lists that it could not download
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Dir::State": f"{folder}/state",
            "Dir::State::status": f"{folder}/status",
            "Dir::Cache": f"{folder}/cache",
            "Dir::Etc::SourceList": f"{folder}/sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Trusted": KEYRING,  # in addition to the machine's trusted.gpg.d
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
        }
        lines = [f'{name} "{value}";' for name, value in settings.items()]
        text = "\n".join(("#clear APT::Architectures;", f'APT::Architectures {{ "{self.arch}"; }};', *lines, ""))
        # apt wants its directories: a file in each creates them.
        places = ("state/lists/partial", "cache/archives/partial", "packages")
        return (
            Write(path=folder / "apt.conf", text=text),
            Write(path=folder / "sources.list", text=sources),
            Write(path=folder / "status", text=INSTALLED.format(arch=self.arch)),
            *(Write(path=folder / place / "created", text="") for place in places),
        )

    def update(self) -> Step:
        """Return the step that downloads the package lists."""
        return self._step(
            f"package lists of Debian {self.suite} for {self.arch}", "apt-get", "update", attempts=5, held=True
        )

    def resolve(self, names: Iterable[str]) -> Step:
        """Return the step that prints what an installation of the packages would download."""
        words = ("install", "--yes", "--no-install-recommends", "--print-uris", *names)
        return self._step("packages", "apt-get", *words, stdout="keep", quiet=True)

    def show(self, packages: Iterable[Package]) -> Step:
        """Return the step that prints the descriptions of packages."""
        return self._step("sections", "apt-cache", "show", *_exact(packages), stdout="keep", quiet=True)

    def download(self, packages: Iterable[Package]) -> Step:
        """Return the step that downloads packages into the directory `packages`."""
        packages = tuple(packages)
        title = f"{len(packages)} packages of Debian {self.suite} for {self.arch}"
        return self._step(
            title, "apt-get", "download", *_exact(packages), cwd=self.folder / "packages", attempts=5, held=True
        )

    def _step(self, title: str, *argv: str, **options: object) -> Step:
        env = {"APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C"}
        return Step(title=title, argv=argv, env=env, **options)  # type: ignore[arg-type]


def _exact(packages: Iterable[Package]) -> list[str]:
    return [f"{package.name}={package.version}" for package in packages]


def sources(suite: str, arch: str, mirror: str, indexes: str, codename: str) -> str:
    """Return the text of a sources.list for a suite of Debian and its security updates.

    Without the suite's `-updates`, which a mirror is the likeliest to have half of: they reach the suite with its next release.

    Args:
        suite: The name of the suite.
        arch: Debian's name of the architecture.
        mirror: The address of a mirror that the settings name; "" for those of the machine, or Debian's own.
        indexes: What `question` prints: the addresses and suites that this machine's own apt uses.
        codename: The suite of this machine, "" if it is not a Debian.
    """
    rows: dict[tuple[str, str], None] = {}
    for line in indexes.splitlines() if codename and not mirror else ():
        address, _, release = line.partition(" ")
        own, _, part = release.partition("-")  # bookworm-security
        if own == codename and part == "":
            rows[address, suite] = None
        elif own == codename and part == "security" and suite not in ROLLING:
            rows[address, f"{suite}-security"] = None
    if not rows:
        rows[mirror or MIRROR, suite] = None
        if not mirror and suite not in ROLLING:
            rows[SECURITY_MIRROR, f"{suite}-security"] = None
    # A directory of this machine is as trusted as the machine; its packages need no signature.
    options = f"arch={arch} trusted=yes" if mirror.startswith("file:") else f"arch={arch}"
    return "".join(f"deb [{options}] {address} {release} main\n" for address, release in rows)


def question() -> Step:
    """Return the step that prints an address and a suite for each list that this machine's apt uses. It needs no network."""
    argv = ("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    return Step(title="apt's sources", argv=argv, stdout="keep", quiet=True)


def codename(os_release: str) -> str:
    """Return VERSION_CODENAME of a Debian, from the text of os-release(5); "" for another system."""
    fields = dict(line.partition("=")[::2] for line in os_release.splitlines())
    return fields.get("VERSION_CODENAME", "").strip('"') if fields.get("ID") == "debian" else ""


def packages(answer: str) -> tuple[Package, ...]:
    """Return the packages in the answer to `Apt.resolve`, without those that compilers bring.

    A file is called name_version_arch.deb, with %3a for the colon of an epoch.
    """
    rows = filter(None, map(FILE_NAME.fullmatch, file_names(answer)))
    found = (Package(name=row[1], version=unquote(row[2]), file=row[0]) for row in rows)
    return tuple(package for package in found if not OF_COMPILERS.fullmatch(package.name))


def useful(found: Iterable[Package], descriptions: str, requested: Iterable[str]) -> tuple[Package, ...]:
    """Return the packages that a compiler or a program reads: libraries, headers, and what was `requested`.

    `descriptions` is the answer to `Apt.show`.
    """
    sections: dict[str, str] = {}
    for stanza in descriptions.split("\n\n"):
        fields = dict(line.partition(": ")[::2] for line in stanza.splitlines() if not line.startswith(" "))
        sections.setdefault(fields.get("Package", ""), fields.get("Section", "").rpartition("/")[2])
    wanted = {name.partition("=")[0] for name in requested}
    return tuple(
        package
        for package in found
        if sections.get(package.name) in SECTIONS or package.name.endswith("-dev") or package.name in wanted
    )


def error(outcome: Outcome, apt: Apt, names: Iterable[str]) -> BuildError:
    """Return the error for a failed step of apt: what is wrong with the settings, or a network that is down."""
    text = f"{outcome.output}\n{outcome.stdout}"  # on stdout it explains which dependencies conflict
    if wrong := _usage_error(text, apt, names):
        return wrong
    failure = classify(text, outcome.code, "apt-get")
    message = f"Debian {apt.suite} for {apt.arch}: {_cause(text) or failure.cause}"
    if "NO_PUBKEY" in text or "is not signed" in text:
        return BuildError(message, "apt-get install debian-archive-keyring")
    if failure.transient or "Failed to fetch" in text:
        return NetworkError(message, failure.help or "check the network, or set `mirror`")
    return BuildError(message, failure.help)


def _usage_error(text: str, apt: Apt, names: Iterable[str]) -> UsageError | None:
    """The error for settings that name something that does not exist; None for other failures."""
    where = f"Debian {apt.suite} for {apt.arch}"
    if match := re.search(r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate", text):
        help_text = "packages.debian.org finds names, and the suites and architectures that have them"
        return UsageError(f"libraries: {where} has no package {match[1] or match[2]}", help_text)
    if match := re.search(r"Version '([^']+)' for '([^']+)' was not found", text):
        return UsageError(f"libraries: {where} has no {match[2]}={match[1]}", "leave the version out")
    if "does not have a Release file" in text:
        help_text = "choose a suite that is maintained, or a `mirror` that still has it"
        return UsageError(f"suite: the mirror has no {apt.suite}: {_cause(text)}", help_text)
    if "unmet dependencies" in text:
        broken = [" ".join(line.split()) for line in text.splitlines() if " : " in line]
        return UsageError(f"libraries: {' '.join(names)} cannot be installed together: {'; '.join(broken)}")
    return None


def _cause(text: str) -> str:
    return next((line.removeprefix("E: ").strip() for line in text.splitlines() if line.startswith("E: ")), "")


def contents(listing: Mapping[str, str]) -> dict[str, str]:
    """Return the package of each regular file or link, from the listings that `dpkg-deb --contents` prints of packages.

    Files are named relative to the root: usr/lib/aarch64-linux-gnu/libssl.so.3.
    """
    owners: dict[str, str] = {}
    for package, text in listing.items():
        for line in text.splitlines():
            # -rw-r--r-- root/root  66216 2026-01-01 00:00 ./usr/lib/… -> …
            mode, *_, path = line.partition(" -> ")[0].split(None, 5)
            if mode[:1] in "-lh":
                owners[path.removeprefix("./")] = package
    return owners
