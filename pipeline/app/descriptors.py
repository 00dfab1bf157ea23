"""Room for open files: every worker holds a connection and a part file."""

from __future__ import annotations

import resource

_FOR_A_WORKER = 3
_FOR_THE_REST = 64


def room_for(n_workers: int) -> int:
    """How many of ``n_workers`` there is room for, at least one.

    Raises the soft limit of this process as far as that needs and the hard one allows: 256 is
    usual on macOS and 1,024 on Linux, and a connection that meets the limit looks refused.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = n_workers * _FOR_A_WORKER + _FOR_THE_REST
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return n_workers
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    except (OSError, ValueError):  # macOS has a limit of its own below an infinite hard one
        most = soft
    return max(1, min(n_workers, (max(soft, most) - _FOR_THE_REST) // _FOR_A_WORKER))
