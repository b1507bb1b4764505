import pytest

from buildlib.machine import parallelism


@pytest.mark.parametrize(
    ("setting", "number"),
    [("", 4), ("default", 4), ("3", 3), ("12", 12), ("-1", 3), ("-9", 1), ("0", 4), ("many", 4)],
)
def test_the_number_of_jobs(setting, number):
    assert parallelism.jobs(setting, 4) == number


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.mark.parametrize(
    ("own", "above", "found"),
    [("max 100000", "max 100000", []), ("250000 100000", "max 100000", [2]), ("50000 100000", "400000 100000", [1, 4]),
     (None, "200000 100000", [2]), ("nonsense", "1 0", [])],
)  # fmt: skip
def test_the_limits_of_a_container(tmp_path, own, above, found):
    write(tmp_path, cgroup="12:cpuset:/other\n0::/a/b")
    folder = tmp_path / "fs" / "a" / "b"
    for path, text in ((folder, own), (folder.parent, above)):
        write(path, **({"cpu__max": text} if text else {}))
    assert list(parallelism.quotas(tmp_path, tmp_path / "fs")) == found


# Of Docker with version 1: the container sees its own group alone, at the mount's root.
MOUNTS = """\
31 25 0:26 / /other rw - cgroup2 cgroup2 rw
33 25 0:28 /docker/x {top}/memory rw shared:9 - cgroup cgroup rw,memory
34 25 0:29 /docker/y {top}/no rw shared:10 - cgroup cgroup rw,cpu,cpuacct
35 25 0:30 /docker/x {top}/mount rw shared:11 - cgroup cgroup rw,cpu,cpuacct"""


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct", "mount"])
@pytest.mark.parametrize(
    ("own", "above", "found"),
    [
        ("-1", "-1", []),
        ("250000", "-1", [2]),
        ("50000", "400000", [1, 4]),
        ("nonsense", "0", [1]),
        (None, "300000", [3]),
    ],
)
def test_the_limits_of_a_container_of_version_1(tmp_path, mount, own, above, found):
    """They count before those of version 2, of which systemd has groups without controllers beside them."""
    root = tmp_path / "fs"
    write(tmp_path, cgroup="0::/docker/x/b\n4:cpu,cpuacct:/docker/x/b\n3:memory:/c", mountinfo=MOUNTS.format(top=root))
    write(root / "docker" / "x" / "b", cpu__max="100000 100000")
    top = root / mount if mount == "mount" else root / mount / "docker" / "x"
    write(top / "b", cpu__cfs_period_us=100_000, **({"cpu__cfs_quota_us": own} if own else {}))
    write(top, cpu__cfs_period_us=100_000, cpu__cfs_quota_us=above)
    assert list(parallelism.quotas(tmp_path, root)) == found


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert list(parallelism.quotas(tmp_path / "none", tmp_path)) == []
    write(tmp_path, cgroup="4:cpu:/a\nnonsense")
    assert list(parallelism.quotas(tmp_path, tmp_path)) == []
    assert parallelism.processors() >= 1
