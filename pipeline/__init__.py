"""imagebatch: many prompts in, many images out.

One image's way::

    load -> sources -> plan -> (gate -> request_for -> send -> extract -> image -> retry?)
         -> folder.keep -> manifest -> tally -> report

From Python::

    from pipeline import load_job, run, stream

    report = run(load_job("jobs/quickstart.yaml"))   # blocks until the run ends
    async for outcome in stream(job): ...             # in a notebook or a service
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.app import Report, load_job, run, run_async, stream

__all__ = ["Report", "load_job", "run", "run_async", "stream"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the application when it is first asked for: ``imagebatch --help`` never does."""
    if name not in __all__:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    from pipeline import app  # noqa: PLC0415 - see above

    return getattr(app, name)
