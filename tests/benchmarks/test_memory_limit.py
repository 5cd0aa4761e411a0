"""The limit that the benchmarks of memory run under: the kernel's own, where this process may set one."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.memory_limit import Group, limited, places

LIMIT = 200_000_000
TAKES = "print(len(bytearray({megabytes} * 10**6)))"


@pytest.fixture
def group() -> Iterator[Group]:
    with limited(LIMIT) as made:
        if made is None:
            pytest.skip("this process may make no control group")
        yield made


@pytest.mark.parametrize(("megabytes", "dies"), [(100, False), (400, True)])
def test_what_takes_more_than_the_limit_is_killed(group: Group, megabytes: int, dies: bool) -> None:
    command = [sys.executable, "-c", TAKES.format(megabytes=megabytes)]
    done = subprocess.run(group.entered(command), capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == dies == bool(group.killed())
    most = group.most()
    assert most is None or megabytes * 10**6 <= most <= LIMIT or dies


def test_nothing_is_left_of_a_group() -> None:
    with limited(LIMIT) as made:
        folder = made.folder if made else None
    assert folder is None or not folder.exists()


MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
"""


@pytest.mark.parametrize(("root", "own", "folder"), [("/", "/job/a", "job/a"), ("/docker/x", "/docker/x", ""), ("/", "/", "")])
def test_a_group_of_version_1_is_made_below_ones_own(root: str, own: str, folder: str) -> None:
    groups = f"9:name=systemd:/other\n4:memory:{own}\n3:cpuset:/\n"
    assert list(places(groups, MOUNTS.format(root=root))) == [(1, Path("/sys/fs/cgroup/memory") / folder)]


def test_a_group_of_version_2_is_made_below_ones_own_or_beside_it() -> None:
    mounts = "31 23 0:28 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"
    slice_ = Path("/sys/fs/cgroup/user.slice")
    assert list(places("0::/user.slice/job.scope\n", mounts)) == [(2, slice_ / "job.scope"), (2, slice_)]
    assert list(places("0::/\n", mounts)) == [(2, Path("/sys/fs/cgroup"))]
