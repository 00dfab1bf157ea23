"""The two times there are: monotonic for waiting, UTC for the record."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta


def run_name() -> str:
    """A name for a run that is about to begin: when, UTC, and a word of its own."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


class SystemClock:
    """Implements the Clock port for the running event loop."""

    def now(self) -> float:
        """Monotonic seconds, the loop's own."""
        return asyncio.get_running_loop().time()

    def utc(self) -> str:
        """Now, ISO 8601 with milliseconds and ``Z``."""
        return self.utc_in(0.0)

    def utc_in(self, seconds: float) -> str:
        """The same, ``seconds`` from now."""
        instant = datetime.now(UTC) + timedelta(seconds=seconds)
        return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
