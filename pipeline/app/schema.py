"""``imagebatch schema``: the JSON Schema of a job or a provider profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from pipeline.app.console import Console
from pipeline.job.schema import json_schema

if TYPE_CHECKING:
    import argparse


def perform(arguments: argparse.Namespace) -> int:
    """Print it."""
    schema = json_schema(arguments.which)
    console = Console(arguments)
    if console.is_json:
        console.emit(schema)
    else:
        console.say(orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode())
    return 0
