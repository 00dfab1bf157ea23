"""The JSON Schemas of job and profile, by which editors complete and check them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import orjson

from pipeline.job.profile_spec import ProfileSpec
from pipeline.job.spec import JobSpec

if TYPE_CHECKING:
    from pydantic import BaseModel

Which = Literal["job", "provider"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TOPS: dict[Which, tuple[type[BaseModel], str]] = {
    "job": (JobSpec, "imagebatch job"),
    "provider": (ProfileSpec, "imagebatch provider profile"),
}


def json_schema(which: Which) -> dict[str, Any]:
    """The schema of a job file or of a provider profile, as a mapping."""
    top, title = _TOPS[which]
    return {"$schema": _DIALECT, **top.model_json_schema(), "title": title}


def text_of(which: Which) -> str:
    """The same as the text that is shipped."""
    return orjson.dumps(json_schema(which), option=orjson.OPT_INDENT_2).decode() + "\n"
