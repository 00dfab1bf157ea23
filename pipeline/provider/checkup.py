"""What a doctor says of a provider, from what was seen of it: findings, and what to do.

Everything here judges and nothing asks: the application looks, by way of sockets and requests.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from pipeline.core.prices import is_of_a_token, plain_usd
from pipeline.provider.shapes import name_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.provider.catalog import Catalog, Model

ASKED_RATIO = "3:2"
"""What the paid requests ask for: a format that every dialect can say."""

NETWORK = "check the network, a proxy or firewall, and base_url in the profile"
"""What to do where nothing can be reached."""

SOME_FAILED = 3
KEY_REFUSED = 77
_WORST_SKEW_S = 60.0
_WORST_RATIO_OFF = 0.06
_LAST_DAYS = 14
_RATE_HEADERS = ("x-ratelimit-", "ratelimit", "retry-after", "x-rate-limit-")


class Verdict(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line: what was looked at, what was found, what it means or what to do about it.

    ``exit_code`` is the command's where this is the first that is bad.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A certificate and the encryption it came with; ``days_left`` is None where nobody knows."""

    version: str
    days_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one paid request brought. ``size`` is width and height of the first image.

    ``places``: where images stood in the reply; ``n_documents``: 1, or a stream's events.
    """

    headers: Mapping[str, str]
    seconds: float
    places: Sequence[str] = ()
    n_documents: int = 0
    media_type: str = ""
    n_images: int = 0
    n_bytes: int = 0
    size: tuple[int, int] = (0, 0)
    cost_usd: float | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    request_id: str | None = None
    warnings: Sequence[str] = ()


def ok(name: str, found: str, advice: str = "") -> Check:
    """A check that went well."""
    return Check(name=name, verdict=Verdict.OK, found=found, advice=advice)


def warning(name: str, found: str, advice: str) -> Check:
    """A check that may mean trouble."""
    return Check(name=name, verdict=Verdict.WARNING, found=found, advice=advice)


def skipped(name: str, found: str, advice: str = "") -> Check:
    """A check that could not be made, or was not asked for."""
    return Check(name=name, verdict=Verdict.SKIPPED, found=found, advice=advice)


def bad(name: str, found: str, advice: str, *, exit_code: int) -> Check:
    """A check that shows why no run can succeed."""
    return Check(name=name, verdict=Verdict.BAD, found=found, advice=advice, exit_code=exit_code)


def of_tls(taken: Taken) -> Check:
    """The encryption of a connection that was made."""
    if taken.days_left is None:
        return ok("TLS", taken.version)
    found = f"{taken.version}, certificate good for {taken.days_left:.0f} days"
    if taken.days_left < _LAST_DAYS:
        return warning("TLS", found, "it runs out soon: the provider has to renew it")
    return ok("TLS", found)


def of_list(catalog: Catalog) -> Check:
    """A list that came."""
    n, says = len(catalog.models), any(model.gives for model in catalog.models)
    if not n:
        return warning("model list", "empty", "models cannot be checked before a request")
    found = f"{n} {'model' if n == 1 else 'models'}"
    if says:
        return ok("model list", f"{found} that make{'s' if n == 1 else ''} images")
    return ok("model list", f"{found}; it does not say which make images")


def of_key(*, keyless_status: int, account_status: int | None, account: object) -> Check:
    """Whether the key is accepted, as far as questions that cost nothing can tell.

    ``keyless_status``: what the list answered without a key; ``account_status`` and ``account``:
    what ``GET /key`` answered with it, None where that was not asked.
    """
    if keyless_status >= 400 and keyless_status != 429:
        return ok("key accepted", f"yes: without it the list is not given ({keyless_status})")
    if account_status == 200 and isinstance(account, dict):
        return ok("key accepted", f"yes{_credit_in(account)}")
    if account_status == 401:
        what = "create a new key at the provider, and export it"
        return bad("key accepted", f"no ({account_status})", what, exit_code=KEY_REFUSED)
    what = "only a request for an image tells: `imagebatch doctor --spend`"
    return skipped("key accepted", "not known: the list is given to everybody", what)


def _credit_in(account: Mapping[str, Any]) -> str:
    """OpenRouter's ``GET /key`` tells what may still be spent."""
    about = account.get("data", account)
    left = about.get("limit_remaining") if isinstance(about, dict) else None
    if isinstance(left, bool) or not isinstance(left, int | float):
        return ""
    return f", ${left:,.2f} left of its limit"


def of_clock(date: str | None, arrived_at: float) -> Check:
    """Our clock beside the server's ``Date``; ``arrived_at`` is in seconds since the epoch."""
    try:
        skew_s = arrived_at - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return skipped("clock", "the server sends no Date")
    if abs(skew_s) <= _WORST_SKEW_S:
        return ok("clock", "agrees with the server's")
    which = "ahead of" if skew_s > 0 else "behind"
    return warning(
        "clock",
        f"{abs(skew_s):,.0f} s {which} the server's",
        "set this machine's clock: certificates and the times in the manifest depend on it",
    )


def of_model(name: str | None, catalog: Catalog) -> Check:
    """The model that jobs get where they name none."""
    if name is None:
        return skipped(
            "model", "the profile names none, so each job has to", "`--model` looks at one"
        )
    if doubt := catalog.doubt(name):
        return warning("model", doubt, "see `imagebatch models`; where the name is right, go on")
    model = catalog.find(name)
    if model is None or model.gives is None:
        return ok("model", f"{name}; what it puts out is not listed")
    return ok("model", f"{name}: {'+'.join(model.gives)}{_price_of(model)}")


def _price_of(model: Model) -> str:
    price = model.prices.get("image_output")
    if not price:
        return ""
    return f", ${plain_usd(price)}{'/token' if is_of_a_token(price) else ' an image'}"


def of_sample(name: str, sample: Sample, *, asked_ratio: str | None) -> tuple[Check, ...]:
    """What a paid request shows, a line each; ``name`` says which way it was made.

    ``asked_ratio``: None where the dialect has no words for one.
    """
    return (
        ok(
            f"{name}: image",
            f"{sample.n_images} x {sample.media_type}, {sample.size[0]}x{sample.size[1]}, "
            f"{sample.n_bytes:,} bytes, in {sample.seconds:.1f} s",
            "; ".join(sample.warnings),
        ),
        ok(
            f"{name}: shape",
            ", ".join(map(name_of, sample.places)) or "behind an address",
            f"in {sample.n_documents} events" if sample.n_documents > 1 else "in one document",
        ),
        _of_size(f"{name}: size", sample.size, asked_ratio),
        _of_cost(f"{name}: cost", sample),
        _of_request_id(f"{name}: request id", sample.request_id),
        _of_rates(f"{name}: rate headers", sample.headers),
    )


def _of_size(name: str, size: tuple[int, int], asked_ratio: str | None) -> Check:
    width, height = size
    if asked_ratio is None:
        return skipped(name, f"got {width}x{height}", "this dialect cannot ask for a ratio here")
    wide, high = map(int, asked_ratio.split(":"))
    found = f"asked for {asked_ratio}, got {width}x{height}"
    if height and abs(width / height * high / wide - 1) <= _WORST_RATIO_OFF:
        return ok(name, found)
    what = "this model or gateway ignores aspect_ratio: say the format in the prompt"
    return warning(name, found, what)


def _of_cost(name: str, sample: Sample) -> Check:
    if sample.cost_usd is not None:
        return ok(name, f"${plain_usd(sample.cost_usd)}")
    tells = "the reply tells its usage, but no cost" if sample.usage else "the reply tells none"
    return warning(name, tells, "costs stay unknown: `prices` of the profile is for estimates")


def _of_request_id(name: str, request_id: str | None) -> Check:
    if request_id:
        return ok(name, request_id)
    return warning(name, "none", "the provider's support cannot look a request up")


def _of_rates(name: str, headers: Mapping[str, str]) -> Check:
    told = [f"{key}: {value}" for key, value in headers.items() if key.startswith(_RATE_HEADERS)]
    if told:
        return ok(name, ", ".join(told))
    return ok(name, "none", "limits are learned from refusals, or set in `limits`")


def worst_of(checks: Sequence[Check]) -> int:
    """The command's exit code: of the first check that is bad, 0 where none is."""
    return next((check.exit_code for check in checks if check.verdict is Verdict.BAD), 0)
