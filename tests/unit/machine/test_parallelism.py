import pytest

from buildlib.machine import parallelism


@pytest.mark.parametrize(
    ("setting", "number"),
    [("", 4), ("default", 4), ("3", 3), ("12", 12), ("-1", 3), ("-9", 1), ("0", 4), ("many", 4)],
)
def test_the_number_of_jobs(setting, number):
    assert parallelism.jobs(setting, 4) == number


@pytest.mark.parametrize(
    ("own", "above", "found"),
    [("max 100000", "max 100000", []), ("250000 100000", "max 100000", [2]), ("50000 100000", "400000 100000", [1, 4]),
     (None, "200000 100000", [2]), ("nonsense", "1 0", [])],
)  # fmt: skip
def test_the_limits_of_a_container(tmp_path, own, above, found):
    groups = tmp_path / "cgroup"
    groups.write_text("12:cpu:/other\n0::/a/b\n")
    folder = tmp_path / "fs" / "a" / "b"
    folder.mkdir(parents=True)
    for path, text in ((folder, own), (folder.parent, above)):
        if text:
            (path / "cpu.max").write_text(f"{text}\n")
    assert list(parallelism.quotas(groups, tmp_path / "fs")) == found


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert list(parallelism.quotas(tmp_path / "none", tmp_path)) == []
    assert parallelism.processors() >= 1
