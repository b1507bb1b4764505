from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from buildlib.rust.linker import fall_back, unfold


def linked(args, *files):
    return fall_back(args, set(files).__contains__)


def test_an_archive_alone_is_named():
    args = ["-o", "out", "-L", "/a", "-L/b", "-Wl,-Bdynamic", "-lssl", "-lc"]
    assert linked(args, "/b/libssl.a") == ["-o", "out", "-L", "/a", "-L/b", "-Wl,-Bdynamic", "/b/libssl.a", "-lc"]


def test_a_shared_library_is_left_to_the_linker():
    args = ["-L/a", "-L/b", "-lssl"]
    assert linked(args, "/a/libssl.a", "/b/libssl.so") == args


def test_musl_s_own_folder_does_not_count():
    args = ["-L/s/lib/self-contained", "-lunwind", "-lc"]
    assert linked(args, "/s/lib/self-contained/libunwind.a", "/s/lib/self-contained/libc.a") == args


def test_a_flag_without_its_folder_is_passed_on():
    assert linked(["-lx", "-L"]) == ["-lx", "-L"]


@given(st.lists(st.text()))
def test_without_archives_nothing_changes(args):
    assert linked(args) == args


def escaped(word):
    return word.replace("\\", "\\\\").replace(" ", "\\ ")


@given(st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters="\x85"), min_size=1)))
def test_a_response_file_reads_back_as_rustc_wrote_it(tmp_path_factory, words):
    file: Path = tmp_path_factory.mktemp("r") / "args"
    file.write_text("".join(f"{escaped(word)}\n" for word in words), encoding="utf-8")
    assert unfold([f"@{file}", "-lx"]) == [*words, "-lx"]
