"""A job as it will run: every setting resolved, nothing left to look up but its prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.core.model import Keep
    from pipeline.job.matrix import Matrix
    from pipeline.job.profile_spec import LimitsSpec, ProfileSpec
    from pipeline.job.rows import Row
    from pipeline.job.spec import BudgetSpec, RetrySpec, StopSpec, TimeoutsSpec


class Place(NamedTuple):
    """Where something was written. ``line`` and ``col`` count from 1, 0 is unknown."""

    file: str
    line: int = 0
    col: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What the command line says over the job file.

    ``settings``: ``key.path=value`` as typed, the value YAML; ``limit``: the first so many tasks.
    """

    out: str | None = None
    provider: str | None = None
    settings: tuple[str, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """The output folder that a frozen job lies in.

    ``name``: the job whose folder it is; ``out``: the folder; ``seen_from``: the folder that paths
    in the job's prompts are seen from, None where nobody noted it.
    """

    name: str
    out: str
    seen_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The profile a job runs with, and where it came from.

    ``name`` goes into the manifest; ``reference`` finds it again from anywhere: a shipped name, an
    absolute path, or the profile itself as it was written inside a job. ``file`` is what a
    message calls it. ``weight``: how much of the work it is to get, within a pool.
    """

    name: str
    reference: str | Mapping[str, Any]
    file: str = field(compare=False)
    profile: ProfileSpec
    weight: float = 1.0

    @property
    def is_simulated(self) -> bool:
        """Whether the embedded provider answers."""
        return self.profile.simulator is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Prompts written in the job itself."""

    label: str = field(compare=False)
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """Prompts in a file of their own; ``path`` is absolute, ``-`` for standard input.

    ``label`` is what a fault calls the file. ``column`` holds the prompt, ``id`` names the column
    that is a row's own id, None for ``id`` where there is one.
    """

    label: str = field(compare=False)
    path: str
    column: str = "prompt"
    id: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the user wants, parsed and frozen.

    ``out`` is the absolute output folder, ``folder`` the job file's own, which references are
    found from. ``params`` are the profile's overlaid by the job's,
    ``limits`` the tighter of both. ``model`` is None only where every row or an axis must name
    one. ``profile.stream`` is what the job asks for. Of a pool ``chosen`` is the first, ``limits``
    hold for all together, and each adds its own ``params``.
    """

    name: str
    source: str = field(compare=False)
    folder: str = field(compare=False)
    chosen: Chosen
    model: str | None
    prompts: Listed | Filed
    template: str | None
    matrix: Matrix
    samples: int
    references: tuple[str, ...]
    aspect_ratio: str | None
    image_size: str | None
    seed: int | None
    params: Mapping[str, Any]
    keep: Keep
    out: str
    path: str
    durability: str
    verify: str
    limits: LimitsSpec
    budget: BudgetSpec
    retry: RetrySpec
    timeouts: TimeoutsSpec
    stop: StopSpec
    limit: int | None
    others: tuple[Chosen, ...] = ()
    places: Mapping[str, Place] = field(compare=False, repr=False)

    @property
    def pool(self) -> tuple[Chosen, ...]:
        """All providers it may ask; one of several keys stands here once for each."""
        return (self.chosen, *self.others)

    @property
    def provider(self) -> str:
        """What messages call whom it asks."""
        return ", ".join(chosen.name for chosen in self.pool)

    @property
    def profile(self) -> ProfileSpec:
        """The profile it runs with."""
        return self.chosen.profile

    @property
    def is_simulated(self) -> bool:
        """Whether the embedded provider answers."""
        return self.chosen.is_simulated

    def fault(self, key: str, what: str) -> Fault:
        """A fault of the setting ``key``, at its place in the job file."""
        above = key.rpartition(".")[0]
        place = self.places.get(key) or self.places.get(above) or Place(self.source, 1, 1)
        return Fault(*place, key, what)
