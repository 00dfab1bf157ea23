"""The checks a value of a job or profile has to pass, and what is said of one that does not."""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from pipeline.job import naming, template
from pipeline.job.template import BadTemplate, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationInfo

MISTAKE = "mistake"
"""The type of an error whose message is ours and is shown as it is."""

_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*([kMG]?)(i?)B")
_RATIO = re.compile(r"[1-9]\d{0,4}:[1-9]\d{0,4}")
_SIZE = re.compile(r"\d{1,5}(\.\d+)?K|[1-9]\d{1,4}(x[1-9]\d{1,4})?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, section 5.6.2: token
# A key comes in by api_key_env, _file or _command alone; framing is the transport's own.
_SECRET_HEADERS = re.compile(r"authorization|cookie|api[-_]?key|token|secret", re.IGNORECASE)
_FRAMING_HEADERS = frozenset(
    {"host", "connection", "content-length", "content-type", "transfer-encoding", "accept-encoding"}
)
_SECRET_PARAMS = re.compile(
    r"(x[-_])?(api|secret|access|auth)[-_]?(key|token)|authorization|bearer|password|secret|cookie",
    re.IGNORECASE,
)
_OWN_PARAMS = {
    "model": "`model:` of the job, or of a row",
    "messages": "`prompts:` and `template:`",
}
# What no name, address or path of a person holds: controls, ends of lines, turns of direction.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
MOST_REFERENCES = 16


def mistake(what: str) -> PydanticCustomError:
    """The error that says ``what``."""
    return PydanticCustomError(MISTAKE, "{what}", {"what": what})


def _later(value: Any, info: ValidationInfo) -> Any:
    # By type: 0 == False, and a limit of 0 is a limit.
    if value is None or value is False or (isinstance(value, list | dict) and not value):
        return value
    raise mistake(f"`{info.field_name}` is not supported yet: leave it out")


def _named(value: str) -> str:
    if not naming.is_safe_part(value):
        raise mistake(
            f"must be one part of a path that is safe everywhere, not {shown(value)}: no `/`, no "
            "control character, no dot in front, at most 200 bytes"
        )
    return value


def _written(value: str) -> str:
    if not value.strip():
        raise mistake("is blank")
    return value


def _one_line(value: str) -> str:
    if strange := _UNSEEN.search(_written(value)):
        raise mistake(f"holds the control character {strange[0]!r}: remove it")
    return value


def _prompt_file(value: str) -> str:
    ending = value.lower().rpartition(".")[2]
    if ending == "parquet":
        raise mistake("a .parquet file is not supported yet: write it as .jsonl or .csv")
    if value != "-" and ending not in {"txt", "csv", "tsv", "jsonl"}:
        raise mistake(f'must end in .txt, .csv, .tsv or .jsonl, or be "-", not {shown(value)}')
    return value


def _template(value: str) -> str:
    try:
        template.parse(value)
    except BadTemplate as bad:
        raise mistake(str(bad)) from None
    return value


def _listed(value: Any) -> Any:
    """One reference where a list of them is meant is a list of one."""
    return [value] if isinstance(value, str) else value


def _path(value: str) -> str:
    try:
        naming.Naming.of(_written(value))
    except BadTemplate as bad:
        raise mistake(str(bad)) from None
    return value


def _literal(value: Any) -> Any:
    """A plain number where text is meant (``image_size: 512``) is its own text."""
    return shown(value) if isinstance(value, int | float) else value


def _ratio(value: str) -> str:
    if not _RATIO.fullmatch(value):
        raise mistake(f'must be width:height, such as "16:9", not {shown(value)}')
    return value


def _size(value: str) -> str:
    if not _SIZE.fullmatch(value):
        raise mistake(f"must be 1K, 2K, 4K, 512 or 1024x768, or the like, not {shown(value)}")
    return value


def _own_id(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise mistake(f"must be text or a whole number, not {shown(value)}")
    if isinstance(value, str) and not value.strip():
        raise mistake("is blank: leave it out, or give the row a name")
    return value


def _params(value: dict[str, Any]) -> dict[str, Any]:
    for key in _OWN_PARAMS.keys() & value:
        raise mistake(f"`{key}` cannot be set here: use {_OWN_PARAMS[key]}")
    for key in value:
        if _SECRET_PARAMS.fullmatch(key):
            raise mistake(
                f"`{key}` would be written into every line of the manifest: a key comes in by "
                "`api_key_env` of a profile file only"
            )
    if not isinstance(value.get("stream", False), bool):
        raise mistake(f"`stream` must be true or false, not {shown(value['stream'])}")
    return value


def _row_params(value: dict[str, Any]) -> dict[str, Any]:
    if "stream" in value:
        raise mistake("`stream` holds for a whole job: set it in the job's `params`")
    return _params(value)


def _n_bytes(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not (match := _BYTES.fullmatch(value.strip())):
        raise mistake(f"must be a number of bytes, such as 128MiB or 64kB, not {shown(value)}")
    number, prefix, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kMG".index(prefix or " "))


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        raise mistake(
            "must be the name of an environment variable, such as KNOXCHAT_API_KEY, never the key"
        )
    return value


def _header_name(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise mistake(f"{shown(value)} is no name of a header")
    if _SECRET_HEADERS.search(value):
        raise mistake(f"`{value}` may carry a key, and a key comes in by `api_key_env` only")
    if value.lower() in _FRAMING_HEADERS:
        raise mistake(f"`{value}` is set for every request already: leave it out")
    return value


def _words(value: Any) -> Any:
    """A command written as one text, as its words; no shell ever sees it."""
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise mistake(f"cannot be split into words: {error}") from None


def _command(value: list[str]) -> list[str]:
    if not value or not value[0].strip():
        raise mistake("is empty: name a program and its arguments")
    if any("\x00" in word for word in value):
        raise mistake("holds a NUL, which no program can be given: remove it")
    return value


def _headers(value: Mapping[str, str]) -> Mapping[str, str]:
    for name, text in value.items():
        _header_name(name)
        if not (text.isascii() and text.isprintable()):
            raise mistake(f"the value of `{name}` must be one line of printable ASCII")
    return value


def _address(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_whole = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_whole = False
    if not is_whole or parts.scheme not in {"http", "https"} or re.search(r"[^!-~]|\\", value):
        raise mistake("must be an address such as https://api.example.com/v1")
    if parts.username is not None or parts.password is not None:
        raise mistake("must not hold a user or password: a key comes in by `api_key_env`")
    if parts.query or parts.fragment:
        raise mistake("must end with the path: leave out what follows `?` or `#`")
    return value.rstrip("/")


def is_loopback(address: str) -> bool:
    """Whether the address is of this very machine, judged by its text alone."""
    host = urlsplit(address).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(address: str) -> bool:
    """Whether nobody can read along on the way to this address."""
    return address.startswith("https:") or is_loopback(address)


Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Samples = Annotated[int, Field(ge=1, le=10_000)]
# Room for `seed + k` in the 64 bits a JSON number can count on.
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 10_001)]
Later = Annotated[Any, AfterValidator(_later)]
Name = Annotated[str, AfterValidator(_named)]
Written = Annotated[str, AfterValidator(_written)]
Word = Annotated[str, AfterValidator(_one_line)]
FileName = Annotated[Word, AfterValidator(_prompt_file)]
TemplateText = Annotated[str, AfterValidator(_written), AfterValidator(_template)]
PathText = Annotated[str, AfterValidator(_path)]
References = Annotated[
    list[Annotated[Word, AfterValidator(_template)]],
    Field(max_length=MOST_REFERENCES),
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
]
Ratio = Annotated[str, BeforeValidator(_literal), AfterValidator(_ratio)]
Size = Annotated[str, BeforeValidator(_literal), AfterValidator(_size)]
OwnId = Annotated[
    Any, AfterValidator(_own_id), WithJsonSchema({"type": ["string", "integer", "null"]})
]
Params = Annotated[dict[str, Any], AfterValidator(_params)]
RowParams = Annotated[dict[str, Any], AfterValidator(_row_params)]
Bytes = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(_n_bytes, json_schema_input_type=int | str),
]
Variable = Annotated[str, AfterValidator(_variable)]
Headers = Annotated[dict[str, str], AfterValidator(_headers)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
Command = Annotated[
    list[str],
    AfterValidator(_command),
    BeforeValidator(_words, json_schema_input_type=str | list[str]),
]
Address = Annotated[str, AfterValidator(_address)]
