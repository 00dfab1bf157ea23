"""Which profile a job runs with: one that is shipped, a file, or one inside the job."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
from pydantic import ValidationError

from pipeline.errors import BadProfile, Fault
from pipeline.job import review
from pipeline.job.job import Chosen, Place
from pipeline.job.mistakes import in_words
from pipeline.job.notation import Faulted, settings_in
from pipeline.job.paths import absolute, from_home
from pipeline.job.profile_spec import ProfileSpec
from pipeline.job.template import hint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.job.document import Document


def load_profile(provider: str, *, place: Place | None = None, folder: str = ".") -> Chosen:
    """The profile of that name, or in that file (found from ``folder``).

    ``place`` is where it was named, for the fault. Raises :class:`BadProfile`.
    """
    place = place or Place(f"provider {provider}")
    if "://" in provider:
        what = f"`{provider}` is an address: name a profile file that holds `base_url: {provider}`"
        raise BadProfile([Fault(*place, "provider", what)])
    if "/" in provider or provider.endswith((".yaml", ".yml")):
        file = folder / from_home(provider)
        return _read(os.path.normpath(file), file.stem, absolute(file), place)
    names = shipped_profiles()
    if provider not in names:
        what = (
            f"unknown provider `{provider}`{hint(provider, names)}: shipped are "
            f"{', '.join(names)}; a profile of your own is named by its path, ./{provider}.yaml"
        )
        raise BadProfile([Fault(*place, "provider", what)])
    return _read(str(_configs() / f"{provider}.yaml"), provider, provider, place)


def shipped_profiles() -> list[str]:
    """The names of the profiles that come with the package."""
    return sorted(path.stem for path in _configs().glob("*.yaml"))


def for_each_key(chosen: Chosen) -> list[Chosen]:
    """The profile once for each of its keys, named after it."""
    variables = chosen.profile.key_variables
    if len(variables) <= 1:
        return [chosen]
    return [
        dataclasses.replace(
            chosen,
            name=f"{chosen.name}:{variable}",
            profile=chosen.profile.model_copy(update={"api_key_env": variable}),
        )
        for variable in variables
    ]


def distinct(pool: Iterable[Chosen]) -> list[Chosen]:
    """The same, each with a name of its own."""
    names: Counter[str] = Counter()
    told = []
    for chosen in pool:
        names[chosen.name] += 1
        n = names[chosen.name]
        told.append(chosen if n == 1 else dataclasses.replace(chosen, name=f"{chosen.name}-{n}"))
    return told


def _configs() -> Path:
    package = Path(__file__).parents[1]
    in_wheel = package / "configs"
    return in_wheel if in_wheel.is_dir() else package.parent / "configs"


def _read(file: str, name: str, reference: str, place: Place) -> Chosen:
    try:
        document = settings_in(file, example="base_url: https://api.example.com/v1")
        profile = _profile_of(document)
    except OSError as error:
        what = f"cannot read the profile {file}: {error.strerror}"
        raise BadProfile([Fault(*place, "provider", what)]) from None
    except Faulted as bad:
        raise BadProfile(bad.faults) from None
    return Chosen(name=name, reference=reference, file=file, profile=profile)


def _profile_of(document: Document) -> ProfileSpec:
    mistakes = review.of_profile(document.value, is_inline=False)
    faults = document.faults + [document.fault(*mistake) for mistake in mistakes]
    try:
        profile = ProfileSpec.model_validate_json(orjson.dumps(document.value))
    except ValidationError as bad:
        faults += [document.fault(*mistake) for mistake in in_words(bad, ProfileSpec)]
        raise Faulted(in_order(faults)) from None
    faults += [document.fault(*mistake) for mistake in review.of_simulator(profile.simulator)]
    if faults:
        raise Faulted(in_order(faults))
    return profile


def in_order(faults: list[Fault]) -> list[Fault]:
    """The faults file by file and line by line; of one place and key, the first that was found."""
    files = list(dict.fromkeys(fault.file for fault in faults))
    at: dict[tuple[str, int, int, str], Fault] = {}
    for fault in faults:
        at.setdefault((fault.file, fault.line, fault.col, fault.key), fault)
    return sorted(at.values(), key=lambda f: (files.index(f.file), f.line, f.col))
