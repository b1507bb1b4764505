"""Commands that rules know, by what they do."""

from __future__ import annotations

import re

FETCH = frozenset({
    "curl", "wget", "aria2c", "axel", "fetch", "http", "https", "gh", "aws", "gsutil", "s3cmd", "rclone", "oras", "lwp-download",
    "wget2", "hub", "xh",
})  # fmt: skip
INSTALL = frozenset({
    "apt", "apt-get", "aptitude", "dpkg", "yum", "dnf", "microdnf", "tdnf", "zypper", "rpm", "apk", "pip", "pip3", "pipx", "uv",
    "npm", "yarn", "pnpm", "conda", "mamba", "micromamba", "gdebi", "snap", "pacman", "opkg", "install_packages", "apt-install",
    "clean-install", "localinstall", "sdk", "jabba",
})  # fmt: skip
UNPACK = frozenset({"tar", "bsdtar", "unzip", "7z", "gunzip", "dpkg-deb", "rpm2cpio", "unar"})
FILTER = frozenset({"grep", "egrep", "fgrep", "jq", "awk", "sed"})
# Commands that mention a file, or handle it after the download.
MENTION = frozenset({
    "echo", "printf", "test", "[", "[[", "sha256sum", "sha512sum", "sha1sum", "md5sum", "shasum", "gpg", "rm", "cosign",
})  # fmt: skip
# Usual names of functions that print a message.
MESSAGE = re.compile(
    r"^(?:\w+_)?(?:die|fail\w*|abort|fatal|err(?:or)?|warn\w*|info|debug|log(?:ger)?|notice|note|msg|message|say|print)(?:_\w+)?$"
)
# A script's own command for downloads: download_ndk android-ndk-linux-x86_64.zip.
HELPER = re.compile(r"^(?:\w+[_-])?(?:download|fetch)(?:[_-]\w+)*$")
# Texts with spaces that start with what is taken: a URL, or a line of sources.list.
TAKEN = re.compile(r"\s*(?:deb(?:-src)?\s|[a-z0-9+]+://)")
# What downloads in a text that is an argument: a command for a shell, and the functions of usual languages.
DOWNLOADS_IN_TEXT = re.compile(
    r"\b(?:curl|wget2?|aria2c|axel|gsutil|requests\.\w+|httpx\.\w+|https?(?:[\"']\))?\.(?:get|request)|Net::HTTP|HTTP::Tiny|LWP|open-uri|URI\.open"
    r"|(?:pip3?|p?npm|yarn|dnf|yum|apt(?:-get)?|apk|rpm)\s+(?:-\w+\s+)?(?:install|i|add|-[iU]\w*))\b|\b(?:urlretrieve|urlopen|download\w*|fetch|getstore|file_get_contents|copy)\s*\(",
    re.IGNORECASE,
)
# Packages for this machine that contain a compiler or libraries for another target, or an emulator.
CROSS_PACKAGE = re.compile(
    # No \b: there is none between the + of g++ and a dash.
    r"^build-base-\w|^(?:gcc|g\+\+|c\+\+|gcc-c\+\+|cpp|pkg-config|pkgconf|gfortran|gobjc|gobjc\+\+|gdc|gm2|gnat|gccgo|clang|binutils|crossbuild-essential|qemu|gdb|musl"
    r"|elfutils|llvm|rust-std|mingw|ovmf|edk2)(?![\w+])"
    r"|-cross\b|-dev-\w+-cross|-none-|-elf\b|-eabi\b|-target-|mingw"
    r"|-linux-(?:gnu|musl)\w*-(?:gcc|g\+\+|binutils|gdb|glibc|ld|toolchain|linux-api-headers)\b"
)
