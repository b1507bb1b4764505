from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildlib.rust.linker import fall_back, leave_out, unfold


def linked(args, *files):
    return fall_back(args, set(files).__contains__)


def test_an_archive_without_a_shared_library_is_passed_by_its_path():
    args = ["-o", "out", "-L", "/a", "-L/b", "-Wl,-Bdynamic", "-lssl", "-lc"]
    assert linked(args, "/b/libssl.a") == ["-o", "out", "-L", "/a", "-L/b", "-Wl,-Bdynamic", "/b/libssl.a", "-lc"]


def test_the_linker_finds_a_shared_library_by_itself():
    args = ["-L/a", "-L/b", "-lssl"]
    assert linked(args, "/a/libssl.a", "/b/libssl.so") == args


def test_the_directory_of_musl_itself_is_not_searched():
    args = ["-L/s/lib/self-contained", "-lunwind", "-lc"]
    assert linked(args, "/s/lib/self-contained/libunwind.a", "/s/lib/self-contained/libc.a") == args


def test_a_flag_without_its_directory_is_passed_through():
    assert linked(["-lx", "-L"]) == ["-lx", "-L"]


def test_flags_that_only_change_how_another_linker_works_are_left_out():
    args = [
        "-Wl,--threads=8",
        "-Wl,-z,relro,--icf=all,-z,now",
        "-Wl,--gdb-index,--no-threads",
        "-Wl,--as-needed",
        "--threads",
    ]
    assert leave_out(args) == ["-Wl,-z,relro,-z,now", "-Wl,--as-needed", "--threads"]
    path = "-Wl,/path/with,commas.a"  # an archive, not a flag
    assert leave_out([path, "-Wl,", "-lx"]) == [path, "-Wl,", "-lx"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.lists(st.text()))
def test_arguments_do_not_change_if_there_are_no_archives(args):
    assert linked(args) == args


def escaped(word):
    return word.replace("\\", "\\\\").replace(" ", "\\ ")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # both depend on load
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"], exclude_characters="\x85"), min_size=1)))
def test_a_response_file_is_read_as_rustc_wrote_it(tmp_path_factory, words):
    file: Path = tmp_path_factory.mktemp("r") / "args"
    file.write_text("".join(f"{escaped(word)}\n" for word in words), encoding="utf-8")
    assert unfold([f"@{file}", "-lx"]) == [*words, "-lx"]
