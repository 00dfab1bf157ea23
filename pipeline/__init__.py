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

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.app.jobfile import load_job
    from pipeline.app.make import Report
    from pipeline.app.python import run, stream
    from pipeline.core.model import Failed, Made

_HOMES = {
    "Failed": "pipeline.core.model",
    "Made": "pipeline.core.model",
    "Report": "pipeline.app.make",
    "load_job": "pipeline.app.jobfile",
    "run": "pipeline.app.python",
    "stream": "pipeline.app.python",
}

__all__ = ["Failed", "Made", "Report", "load_job", "run", "stream"]
__version__ = "0.1.0"


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return [*__all__, "__version__"]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for: ``imagebatch --help`` never does."""
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
