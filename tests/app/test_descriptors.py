"""Room for open files, in a process of its own: its limits are its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import resource
from pipeline.app.descriptors import room_for
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(room_for({n}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "n", "expected"),
    [
        (256, 4096, 64, "64 256"),
        (256, 4096, 400, "400 1264"),
        (256, 664, 400, "200 664"),
        (100, 100, 400, "12 100"),
        (66, 66, 400, "1 66"),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_and_workers_fit_below_it(
    soft: int, hard: int, n: int, expected: str
) -> None:
    code = CODE.format(soft=soft, hard=hard, n=n)
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert told.stdout.strip() == expected
