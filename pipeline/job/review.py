"""What only the whole of a job or profile can show: names, axes, addresses that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.core.simulation import flaws_of
from pipeline.job import naming, template
from pipeline.job.checks import is_loopback, is_private
from pipeline.job.mistakes import in_words
from pipeline.job.rows import SETTINGS
from pipeline.job.spec import DEFAULT_PATH, RowSpec
from pipeline.job.template import BadTemplate, hint, known_names, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.core.simulation import Simulation
    from pipeline.job.mistakes import Path

MOST_TASKS = 100_000_000
"""The most tasks a plan may have."""

KEY_SOURCES = ("api_key_env", "api_key_file", "api_key_command")
"""The settings of a profile that name a key's place."""

TEMPLATE_NAMES = (
    *("prompt", "sample", "index", "row"),
    *(setting for setting in SETTINGS if setting not in {"params", "references"}),
)
"""What a template may name beside columns and axes."""

_PLAIN_HTTP = (
    "is plain http to another machine: use https, or add `allow_http: true` (no key is sent there)"
)
_MOST_NAMED = 5
_MANY_ENTRIES, _MOST_COMPARED = 1_000, 10_000_000
_BEYOND = 10**30
_TAKEN = frozenset({*naming.NAMES, "id"}) - {"model"}


def of_job(raw: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """The mistakes of a job's mapping that its keys one by one do not show.

    ``raw`` may be wrong in every other way too; what is not of its type is passed over here.
    """
    matrix = raw.get("matrix")
    axes = _axes(matrix) if isinstance(matrix, dict) else {}
    if isinstance(matrix, dict):
        yield from _of_axes(axes)
        yield from _of_entries(matrix, axes)
    yield from _of_file(raw.get("prompts"))
    yield from _of_names(raw, [*axes, *_included(matrix)])


def of_profile(raw: Mapping[str, Any], *, is_inline: bool) -> Iterator[tuple[Path, str]]:
    """The mistakes of a profile's mapping; ``is_inline``: it stands in a job file."""
    address = raw.get("base_url")
    if raw.get("simulator") is not None:
        if address is not None:
            yield ("base_url",), "`simulator` is an address of its own: leave this out"
    elif address is None:
        yield ("base_url",), "is missing: where is the API?"
    elif isinstance(address, str) and raw.get("allow_http") is not True and _is_bare(address):
        yield ("base_url",), _PLAIN_HTTP
    if raw.get("server") and raw.get("dialect", "chat") != "chat":
        yield ("server",), f"says how chat requests look, and `dialect` is {raw['dialect']}"
    yield from _of_key_sources(raw)
    yield from _of_idempotency(raw)
    if is_inline:
        yield from _of_inline_keys(raw)


def of_simulator(simulation: Simulation | None) -> Iterator[tuple[Path, str]]:
    """The mistakes of the embedded provider's settings, below the profile's mapping."""
    for flaw in flaws_of(simulation) if simulation else ():
        key, _, what = flaw.partition(": ")
        words = key.replace("[", ".").replace("]", "").split(".")
        yield ("simulator", *(int(w) if w.isdigit() else w for w in words)), what


def _is_bare(address: str) -> bool:
    return address.startswith("http:") and not is_private(address)


def _of_key_sources(raw: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    first, *others = [key for key in KEY_SOURCES if raw.get(key)] or [""]
    for key in others:
        yield (key,), f"the key comes from one place: this or `{first}`"


def _of_idempotency(raw: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    header, headers = raw.get("idempotency_header"), raw.get("headers")
    if not isinstance(header, str):
        return
    if isinstance(headers, dict) and header.lower() in {str(name).lower() for name in headers}:
        yield ("headers",), f"`{header}` is set by `idempotency_header`: leave it out here"
    if header.lower() == "x-openrouter-cache" and raw.get("dialect") == "openrouter-images":
        what = "OpenRouter's cache does not cover /images: leave it out, or use `dialect: chat`"
        yield ("idempotency_header",), what


def _of_inline_keys(raw: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    where = "put it in a profile file and name that: `provider: ./my-provider.yaml`"
    address = raw.get("base_url")
    if raw.get("api_key_file"):
        yield ("api_key_file",), f"a job file cannot name a key's file: {where}"
    if raw.get("api_key_command"):
        yield ("api_key_command",), f"a job file can run nothing: {where}"
    if raw.get("api_key_env") and not (isinstance(address, str) and is_loopback(address)):
        yield ("api_key_env",), f"a job file can name a key for this machine only: {where}"
    simulator = raw.get("simulator")
    if isinstance(simulator, dict) and simulator.get("api_key"):
        yield ("simulator", "api_key"), f"a job file holds no key: {where}"


def _axes(matrix: Mapping[str, Any]) -> dict[str, Any]:
    return {key: axis for key, axis in matrix.items() if key not in {"include", "exclude"}}


def _entries(matrix: Any, which: str) -> list[tuple[int, dict[str, Any]]]:
    entries = matrix.get(which) if isinstance(matrix, dict) else None
    listed = entries if isinstance(entries, list) else []
    return [(n, entry) for n, entry in enumerate(listed) if isinstance(entry, dict)]


def _included(matrix: Any) -> list[str]:
    return [key for _, entry in _entries(matrix, "include") for key in entry if key != "id"]


def _of_axes(axes: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    for name, axis in axes.items():
        if what := _of_axis_name(name):
            yield ("matrix", name), what
        elif isinstance(axis, list):
            for n, value in enumerate(axis):
                yield from _of_value(("matrix", name, n), name, value)
    if (n_products := _n_products(axes)) > MOST_TASKS:
        number = f"{n_products:,}" if n_products < _BEYOND else f"more than {_BEYOND:,}"
        yield ("matrix",), f"{number} combinations: a plan has at most {MOST_TASKS:,} tasks"


def _n_products(axes: Mapping[str, Any]) -> int:
    """How many combinations there are, counted until it does not matter any more."""
    n_products = 1
    for axis in axes.values():
        n_products *= max(len(axis), 1) if isinstance(axis, list) else 1
        if n_products >= _BEYOND:
            break
    return n_products


def _of_entries(matrix: Mapping[str, Any], axes: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    n_products = _n_products(axes)
    for which in ("exclude", "include"):
        n_entries = len(_entries(matrix, which))
        if n_entries > _MANY_ENTRIES and n_entries * n_products > _MOST_COMPARED:
            pairs = f"{n_entries:,} entries for {n_products:,} combinations"
            advice = "use a prompt file with these as columns"
            yield ("matrix", which), f"{pairs} are too many to compare: {advice}"
        for n, entry in _entries(matrix, which):
            if not entry:
                yield ("matrix", which, n), "is empty: name at least one axis and its value"
            for key, value in entry.items():
                path = ("matrix", which, n, key)
                if which == "include" and key != "id" and (what := _of_axis_name(key)):
                    yield path, what
                elif which == "include" and key not in axes:
                    yield from _of_value(path, key, value)
                elif isinstance(value, dict | list) and key != "params":
                    yield path, _not_scalar(value)


def _of_axis_name(name: str) -> str | None:
    return f"`{name}` is a name of its own: choose another for the axis" if name in _TAKEN else None


def _of_value(path: Path, name: str, value: Any) -> Iterator[tuple[Path, str]]:
    if name in SETTINGS:
        try:
            RowSpec.model_validate({"prompt": "x", name: value})
        except ValidationError as bad:
            yield from ((path, what) for _, what in in_words(bad, RowSpec))
    elif isinstance(value, dict | list) or value is None:
        yield path, _not_scalar(value)


def _not_scalar(value: Any) -> str:
    return f"must be text, a number, true or false, not {shown(value)}"


def _of_file(prompts: Any) -> Iterator[tuple[Path, str]]:
    if isinstance(prompts, dict) and str(prompts.get("file")).lower().endswith(".txt"):
        for key, usual in (("column", "prompt"), ("id", None)):
            if prompts.get(key, usual) != usual:
                yield ("prompts", key), "a .txt file has no columns: every line is a prompt"


def _of_names(raw: Mapping[str, Any], axes: Iterable[str]) -> Iterator[tuple[Path, str]]:
    prompts = raw.get("prompts")
    if not isinstance(prompts, list):
        return  # the names of a file's columns are known once it is read
    columns = {key for row in prompts if isinstance(row, dict) for key in row}
    known = [*axes, *sorted(columns)]
    output = raw.get("output")
    path = output.get("path") if isinstance(output, dict) else None
    yield from _of_text(("template",), raw.get("template"), (*TEMPLATE_NAMES, *known))
    yield from _of_references(raw.get("references"), (*TEMPLATE_NAMES, *known))
    names = (*naming.NAMES, *naming.SETTINGS, *known)
    yield from _of_text(("output", "path"), path or DEFAULT_PATH, names)


def _of_references(references: Any, known: Iterable[str]) -> Iterator[tuple[Path, str]]:
    for n, text in enumerate(references if isinstance(references, list) else ()):
        yield from _of_text(("references", n), text, known)


def _of_text(path: Path, text: Any, known: Iterable[str]) -> Iterator[tuple[Path, str]]:
    try:
        names = template.parse(text).names if isinstance(text, str) else ()
    except BadTemplate:
        return  # said already, with its place
    known = dict.fromkeys(known)
    if unknown := [name for name in names if name not in known]:
        yield path, "; ".join(unknown_name(name, known) for name in unknown[:_MOST_NAMED])


def unknown_name(name: str, known: Iterable[str]) -> str:
    """What is said of a name in a template that nothing is called."""
    return (
        f"unknown name `{{{{{name}}}}}`{hint(name, known) or f': there are {known_names(known)}'}"
    )
