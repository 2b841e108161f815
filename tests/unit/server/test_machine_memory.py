"""Made-up files of both versions of cgroups, as they are on a host and in a container."""

import os
from pathlib import Path

import pytest

from teltonika.server.machine_memory import memory_limit

PHYSICAL = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
UNLIMITED_V1 = "9223372036854771712"


def write(root: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    return root


V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
CASES = {
    "version 2": (
        {"proc/self/cgroup": "0::/a/b", f"{V2}/a/b/memory.max": "1000"},
        1000,
    ),
    "version 2, a parent allows less": (
        {
            "proc/self/cgroup": "0::/a/b",
            f"{V2}/a/b/memory.max": "1000",
            f"{V2}/a/memory.max": "700",
        },
        700,
    ),
    "version 2, no limit": (
        {"proc/self/cgroup": "0::/a", f"{V2}/a/memory.max": "max"},
        PHYSICAL,
    ),
    "version 2, in a container": (
        {"proc/self/cgroup": "0::/", f"{V2}/memory.max": "500"},
        500,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "4:cpu:/x\n3:memory:/a/b\n0::/",
            f"{V1}/a/b/memory.limit_in_bytes": "900",
            f"{V1}/memory.limit_in_bytes": UNLIMITED_V1,
        },
        900,
    ),
    "version 1, in a container that sees the host's path": (
        {"proc/self/cgroup": "3:memory:/docker/1f", f"{V1}/memory.limit_in_bytes": "800"},
        800,
    ),
    "version 1, no limit": (
        {"proc/self/cgroup": "3:memory:/", f"{V1}/memory.limit_in_bytes": UNLIMITED_V1},
        PHYSICAL,
    ),
    "no Linux": ({}, PHYSICAL),
}


@pytest.mark.parametrize("case", CASES)
def test_the_least_of_all_limits_counts(case: str, tmp_path: Path) -> None:
    texts, limit = CASES[case]
    assert memory_limit(write(tmp_path, texts)) == limit


def test_of_this_machine_it_is_a_number_of_bytes() -> None:
    assert 0 < memory_limit() <= PHYSICAL
