"""Whether an endpoint that was well is down; then probes alone ask whether it is well again.

Nothing but faults for a while, and no answer to anything that left meanwhile: that is an outage.
What never answered is not sick but wrong, and what stays down for longer than a minute and a half
is gone: there the run's own guards are to decide, so nothing is held back any more.
"""

from __future__ import annotations

from math import inf

LONGEST_SICKNESS_S = 90.0

_MANY = 14
_SOME, _A_WHILE_S = 4, 4.0
_FIRST_PROBE_S, _LONGEST_PROBE_S = 1.0, 5.0


class Health:
    """Counts faults in a row, and what follows from them."""

    __slots__ = (
        "_interval_s",
        "_known_since",
        "_left_since",
        "_n_faults",
        "_probe_at",
        "_sick_since",
        "_was_well",
    )

    def __init__(self) -> None:
        """Nothing has been answered yet."""
        self._was_well = False
        self._n_faults = 0
        self._left_since = -inf
        self._known_since = -inf
        self._sick_since = inf
        self._probe_at = -inf
        self._interval_s = _FIRST_PROBE_S

    @property
    def is_sick(self) -> bool:
        """Whether everything fails, after it went well."""
        return self._sick_since < inf

    def wait(self, now: float) -> float:
        """Seconds until the next probe; 0 while the endpoint is well."""
        return max(0.0, self._probe_at - now) if self.is_sick else 0.0

    def leave(self, now: float) -> None:
        """One leaves; while sick it is a probe, and the next one waits twice as long."""
        if self.is_sick:
            self._probe_at = now + self._interval_s
            self._interval_s = min(2 * self._interval_s, _LONGEST_PROBE_S)

    def fault(self, now: float, *, left_at: float) -> None:
        """An attempt failed by the endpoint's fault."""
        if not self._n_faults:
            self._left_since, self._known_since = left_at, now
        self._n_faults += 1
        if self.is_sick and now - self._sick_since > LONGEST_SICKNESS_S:
            self._was_well, self._sick_since = False, inf
        elif self._is_outage(now) and self._was_well and not self.is_sick:
            self._sick_since = now
            self._interval_s = _FIRST_PROBE_S
            self._probe_at = now + _FIRST_PROBE_S

    def answered(self, *, left_at: float) -> bool:
        """An answer; whether it ends a sickness.

        What left before the faults began says nothing of now.
        """
        if left_at < self._left_since:
            return False
        was_sick = self.is_sick
        self._was_well, self._n_faults, self._sick_since = True, 0, inf
        return was_sick

    def _is_outage(self, now: float) -> bool:
        lasts_a_while = now - self._known_since >= _A_WHILE_S
        return self._n_faults >= (_SOME if lasts_a_while else _MANY)
