"""How a job asks its provider: in its profile's dialect, and what that has no words for."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline.job.plan import Advice
from pipeline.provider.chat import Chat
from pipeline.provider.dialects import Wish, dialect_of, unsayable
from pipeline.provider.images import Images
from pipeline.provider.reader import Allowed
from pipeline.provider.repeats import is_cache, marked
from pipeline.provider.samples import Adding, DistinctSamples, asks_for_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.core.model import Past, Request, Task
    from pipeline.core.ports import Provider
    from pipeline.job.job import Job
    from pipeline.job.profile_spec import ProfileSpec
    from pipeline.provider.references import Library


def provider_for(
    profile: ProfileSpec,
    *,
    mask: Callable[[str], str],
    gives: Callable[[str], Sequence[str] | None],
    adds: Mapping[str, Any] = MappingProxyType({}),
) -> Provider:
    """What speaks the profile's dialect.

    ``mask`` takes the key out of a text; ``gives`` tells what a model puts out, if that is known.
    ``adds``: parameters that every task gets which does not say otherwise.
    """
    spoken = _in_dialect(profile, mask=mask, gives=gives)
    return Adding(spoken, adds) if adds else spoken


def _in_dialect(
    profile: ProfileSpec,
    *,
    mask: Callable[[str], str],
    gives: Callable[[str], Sequence[str] | None],
) -> Provider:
    manner: dict[str, Any] = {
        "is_streamed": profile.stream,
        "mask": mask,
        "allowed": Allowed(svg=profile.svg, links=profile.remote_images),
    }
    if profile.dialect == "chat":
        chat = Chat(**manner, gives=gives, server=profile.server)
        is_cached = asks_for_cache(profile.headers) or is_cache(profile.idempotency_header)
        return DistinctSamples(chat) if is_cached else chat
    return Images(**manner, dialect=profile.dialect)


def mark_for(profile: ProfileSpec) -> Callable[[Request, Task, Past], Request] | None:
    """What lets the provider know a request again; None where the profile names no header."""
    header = profile.idempotency_header
    return partial(marked, header) if header else None


def sayable_for(profile: ProfileSpec) -> Callable[[Task], bool]:
    """Whether the profile's dialect has words for a task."""
    dialect = dialect_of(profile.dialect, profile.server)

    def is_sayable(task: Task) -> bool:
        wish = Wish(
            model=task.model,
            aspect_ratio=task.aspect_ratio,
            image_size=task.image_size,
            seed=task.seed,
            n_references=len(task.references),
        )
        return unsayable(dialect, wish) is None

    return is_sayable


def advice_for(job: Job, library: Library) -> Advice:
    """What the plan of ``job`` has to ask of its provider's dialect and of the input images."""
    profiles = [chosen.profile for chosen in job.pool]
    dialects = [dialect_of(profile.dialect, profile.server) for profile in profiles]

    def cannot_say(settings: Mapping[str, Any]) -> tuple[str, str] | None:
        """What not one of the job's providers has words for."""
        wish = Wish(
            model=settings["model"],
            aspect_ratio=settings["aspect_ratio"],
            image_size=settings["image_size"],
            seed=settings["seed"],
            n_references=len(settings["references"]),
        )
        found = [unsayable(dialect, wish) for dialect in dialects]
        return found[0] if all(found) else None

    return Advice(reference=partial(library.look, folder=job.folder), unsayable=cannot_say)
