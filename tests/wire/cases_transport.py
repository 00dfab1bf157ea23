"""Cases 41 to 82 and 86 to 90: HTTP and the network, 200 but not OK, and what it costs."""

from __future__ import annotations

import base64
import functools
import gzip
import io
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
from harness import KEY, Case, Then
from PIL import Image as Pillow
from scripted import Script

from pipeline.core.model import Why
from pipeline.core.ports import Held, LeftOut
from pipeline.errors import Guarded, Misconfigured, NotAllowed, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness import Seen


def png(width: int = 24, height: int = 16) -> bytes:
    """A picture."""
    target = io.BytesIO()
    Pillow.linear_gradient("L").resize((width, height)).save(target, "PNG")
    return target.getvalue()


RED = png()


def data_url(image: bytes = RED) -> str:
    """As most gateways send it."""
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


def message(finish: str = "stop", native: str | None = None, **said: Any) -> dict[str, Any]:
    """A reply whose only choice says this."""
    choice = {"message": {"role": "assistant", **said}, "finish_reason": finish}
    if native:
        choice["native_finish_reason"] = native
    return {"id": "gen-7", "model": "served/model", "choices": [choice]}


def drawn(image: bytes = RED) -> dict[str, Any]:
    """A sound reply."""
    return message(images=[{"type": "image_url", "image_url": {"url": data_url(image)}}])


def json(document: Any, status: int = 200, **headers: object) -> Script:
    """A complete JSON reply."""
    return Script.whole(orjson.dumps(document), status, content_type="application/json", **headers)


def page(status: int = 200, title: str = "Just a moment", **headers: object) -> Script:
    """A complete web page."""
    body = f"<!DOCTYPE html><html><title>{title}</title></html>".encode()
    return Script.whole(body, status, content_type="text/html", **headers)


def error(status: int, text: str = "said so", *, http: int = 0, **more: Any) -> Script:
    """An error in OpenRouter's envelope; ``http``: the status outside, where it differs."""
    return json({"error": {"code": status, "message": text, **more}}, http or status)


def hint(status: int, **headers: object) -> Script:
    """An error with a hint when to come back."""
    return json({"error": {"code": status, "message": "later"}}, status, **headers)


def inside(**fields: Any) -> Script:
    """An error inside a 200."""
    return json({"error": {"message": "said so", **fields}})


OK = json(drawn())
BODY = orjson.dumps(drawn())
HALF = BODY[: len(BODY) // 2]
DATE = "Sun, 22 Nov 2026 10:00:00 GMT"
DATE_S = 1_795_341_600


# What a row may look at beyond its fields


def waits(seconds: float, first: int = 0) -> Callable[[Seen], None]:
    """The request behind number ``first`` comes no sooner; a timer may be a hair early."""

    def look(seen: Seen) -> None:
        assert seen.gaps_s[first] >= seconds - 0.02

    return look


def says(*pieces: str, lines: int = 0) -> Callable[[Seen], None]:
    """The stop's message holds them, and ``lines`` tasks are settled: the rest stays owed."""

    def look(seen: Seen) -> None:
        assert [piece for piece in pieces if piece not in str(seen.stop)] == [], seen.stop
        assert len(seen.lines) == lines

    return look


def all_of(*looks: Callable[[Seen], None]) -> Callable[[Seen], None]:
    def look(seen: Seen) -> None:
        for one in looks:
            one(seen)

    return look


def is_not_held(seen: Seen) -> None:
    assert not [event for event in seen.events if isinstance(event, Held)]


def holds_everyone(seen: Seen) -> None:
    """The third request waits although its task met nothing: a hint is for all workers."""
    assert seen.requests[2].at - seen.requests[0].at >= 1.98
    assert [round(event.wait_s) for event in seen.events if isinstance(event, Held)] == [2]
    assert sorted(line["attempts"] for line in seen.lines) == [1, 1, 2]


def comes_back_alone(seen: Seen) -> None:
    """After a storm of 50 refusals one goes first; the others wait for its answer."""
    assert len(seen.lines) == 50
    assert {line["status"] for line in seen.lines} == {"made"}
    assert sum(line["attempts"] for line in seen.lines) == 100
    assert seen.gaps_s[50] >= 0.28


def costs(n_maybe_billed: int) -> Callable[[Seen], None]:
    def look(seen: Seen) -> None:
        assert seen.line["maybe_billed"] == n_maybe_billed

    return look


def only_in_flight(most: int) -> Callable[[Seen], None]:
    def look(seen: Seen) -> None:
        assert 1 <= len(seen.requests) <= most
        assert seen.lines == []

    return look


def goes_on_without(why: Why, *, n_requests: int) -> Callable[[Seen], None]:
    """Rows 1 and 3 ask for the model that is not to be had, row 2 for another."""

    def look(seen: Seen) -> None:
        first, other, last = sorted(seen.lines, key=lambda line: int(line["index"]))
        assert (first["why"], other["status"], last["why"]) == (str(why), "made", str(why))
        assert last["attempts"] == 0
        assert first["detail"] == last["detail"]
        assert [event.model for event in seen.events if isinstance(event, LeftOut)] == ["a/one"]
        assert len(seen.requests) == n_requests

    return look


def modalities(*wanted: list[str]) -> Callable[[Seen], None]:
    def look(seen: Seen) -> None:
        bodies = [orjson.loads(request.body) for request in seen.requests]
        assert [body["modalities"] for body in bodies] == list(wanted)

    return look


def has_distinct_samples(seen: Seen) -> None:
    """The body whose first try failed comes twice, the others once."""
    bodies = Counter(request.body for request in seen.requests)
    assert sorted(bodies.values()) == [1, 1, 2]
    assert bodies[seen.requests[0].body] == 2
    assert len(seen.files) == 3


def is_one_task(seen: Seen) -> None:
    assert len(seen.lines) == 1


def leaks_nothing(seen: Seen) -> None:
    """Twenty connections carry 2,000 failures: every error was read to its end."""
    assert len(seen.lines) == 2_000
    assert {line["why"] for line in seen.lines} == {"server_error"}
    assert (seen.n_accepted <= 20, seen.n_open) == (True, 0)


def has_no_secret(seen: Seen) -> None:
    told = f"{seen.lines} {seen.stop!r}"
    detail = f"{seen.line['detail']}"
    assert SECRET_PROMPT not in detail
    for piece in ("data:image", "A" * 200, "user_2abcDEF", "flagged text"):
        assert piece not in told


SECRET_PROMPT = "a portrait of somebody whose name must not be in any log"


@functools.cache
def closed_port() -> int:
    """A port nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


row = Case
MADE = Then(images=(RED,), attempts=2, n_requests=2)
SEVERAL: dict[str, Any] = {
    "prompts": [
        {"prompt": "one", "model": "a/one"},
        {"prompt": "two", "model": "b/two"},
        {"prompt": "three", "model": "a/one"},
    ]
}
WANT_BOTH, WANT_IMAGE = ["image", "text"], ["image"]
NO_SUCH_MODALITIES = error(
    404, "No endpoints found that support the requested output modalities: image, text"
)


def failed(why: Why, *, n_requests: int = 1, **more: Any) -> Then:
    """The task fails so."""
    return Then(why=why, n_requests=n_requests, attempts=n_requests, **more)


HINTS = (
    row(
        number=41,
        arrives="429 with Retry-After: 2",
        we="hold every worker for that long; it costs no attempt",
        scripts=(hint(429, retry_after=2), Script().pause(0.3).do(OK.play), OK),
        then=Then(n_requests=4, also=holds_everyone),
        job={"prompts": ["one", "two", "three"], "limits": {"concurrency": 2}},
    ),
    row(
        number=42,
        arrives="Retry-After as an HTTP date",
        we="wait until then, by the server's own clock",
        scripts=(hint(503, date=DATE, retry_after="Sun, 22 Nov 2026 10:00:01 GMT"), OK),
        then=Then(images=(RED,), n_requests=2, also=waits(1)),
    ),
    row(
        number=43,
        arrives="Retry-After with a fraction",
        we="wait that long",
        scripts=(hint(429, retry_after="0.4"), OK),
        then=Then(images=(RED,), n_requests=2, also=waits(0.4)),
    ),
    *(
        row(
            number=44,
            arrives="Retry-After that says nothing",
            variant=word,
            we="back off as without it",
            scripts=(hint(503, retry_after=word), OK),
            then=Then(images=(RED,), n_requests=2, also=is_not_held),
        )
        for word in ("0", "-5", "soon", "nan")
    ),
    row(
        number=45,
        arrives="Retry-After: 3600",
        we="stop at once and say until when; up to 15 minutes are waited",
        scripts=(hint(429, retry_after=3600), OK),
        then=Then(stop=Guarded, n_requests=1, also=says("asks to wait until 2")),
    ),
    row(
        number=46,
        arrives="X-RateLimit-Reset in epoch milliseconds",
        we="wait until then",
        scripts=(hint(429, date=DATE, x_ratelimit_reset=DATE_S * 1000 + 600), OK),
        then=Then(images=(RED,), n_requests=2, also=waits(0.6)),
    ),
    row(
        number=46,
        arrives="X-RateLimit-Reset in epoch milliseconds",
        variant="in metadata.headers",
        we="wait until then",
        scripts=(
            json(
                {
                    "error": {
                        "code": 429,
                        "message": "later",
                        "metadata": {
                            "headers": {"X-RateLimit-Reset": str(DATE_S * 1000 + 600)},
                            "limit_source": "upstream_provider_shared_pool",
                        },
                    }
                },
                429,
                date=DATE,
            ),
            OK,
        ),
        then=Then(images=(RED,), n_requests=2, also=waits(0.6)),
    ),
    row(
        number=47,
        arrives="429 of a daily quota",
        we="stop the run and say when the quota resets",
        scripts=(error(429, metadata={"limit_source": "openrouter_free_tier_daily"}), OK),
        then=Then(stop=Guarded, n_requests=1, also=says("daily quota", "00:00 UTC")),
    ),
    row(
        number=47,
        arrives="429 of a daily quota",
        variant="in words with a reset",
        we="stop the run and say when the quota resets",
        scripts=(
            json(
                {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-day"}},
                429,
                retry_after=7200,
            ),
        ),
        then=Then(stop=Guarded, n_requests=1, also=says("daily quota", ", at 2", "per-day")),
    ),
    row(
        number=48,
        arrives="429 to all of 50 workers",
        we="one goes first when the pause is over, then all",
        scripts=(
            *(Script().pause(0.4).do(error(429).play),) * 50,
            Script().pause(0.3).do(OK.play),
            OK,
        ),
        then=Then(n_requests=100, also=comes_back_alone),
        job={
            "prompts": [f"cat {n}" for n in range(50)],
            "limits": {"concurrency": 50, "requests_per_minute": 60_000},
        },
    ),
)

STATUSES = (
    *(
        row(
            number=49,
            arrives="a 5xx",
            variant=f"{status} {kind}",
            we="try again",
            scripts=(make(status), OK),
            then=MADE,
        )
        for status in (500, 502, 503, 504, 520, 524, 529)
        for kind, make in (("JSON", error), ("HTML", page))
    ),
    row(number=50, arrives="408", we="try again", scripts=(error(408), OK), then=MADE),
    row(
        number=51,
        arrives="413",
        we="fail: the request is too large",
        scripts=(Script.whole(b"", 413), OK),
        then=failed(Why.TOO_LARGE),
    ),
    row(
        number=51,
        arrives="422",
        we="fail: the request is wrong",
        scripts=(json({"detail": [{"loc": ["body", "n"], "msg": "too many"}]}, 422), OK),
        then=failed(Why.REJECTED, detail="body.n: too many"),
    ),
    row(
        number=52,
        arrives="400 invalid_request",
        we="fail: the request is wrong",
        scripts=(error(400, "bad ratio", metadata={"error_type": "invalid_request"}), OK),
        then=failed(Why.REJECTED, detail="bad ratio"),
    ),
    row(
        number=53,
        arrives="401",
        we="stop; only what was in flight is spent",
        scripts=(error(401, "No such key"),),
        then=Then(stop=NotAllowed, also=all_of(only_in_flight(4), says("Check the key"))),
        job={"prompts": [f"cat {n}" for n in range(20)], "limits": {"concurrency": 4}},
    ),
    row(
        number=54,
        arrives="402",
        we="stop and say what may help; the rest stays owed",
        scripts=(error(402, "Insufficient credits"),),
        then=Then(stop=NotAllowed, also=says("Add credit", "params.max_tokens")),
        job={"prompts": ["one", "two"]},
    ),
    row(
        number=55,
        arrives="403 of a moderation",
        we="fail: refused, in the provider's words",
        scripts=(
            error(403, "Your input was flagged", metadata={"reasons": ["violence"]}),
            OK,
        ),
        then=failed(Why.REFUSED, detail="Your input was flagged"),
    ),
    row(
        number=56,
        arrives="403: this key may not use this model",
        we="stop and say so",
        scripts=(error(403, "This token is not authorized to use model: some/model"),),
        then=Then(stop=NotAllowed, n_requests=1, also=says("another model", "not authorized")),
        job={"prompts": ["one", "two"]},
    ),
    row(
        number=56,
        arrives="403: this key may not use this model",
        variant="of several",
        we="go on with the other models; its tasks fail unasked",
        scripts=(error(403, "This token is not authorized to use model: a/one"), OK),
        then=Then(also=goes_on_without(Why.AUTH, n_requests=2)),
        job=SEVERAL,
    ),
    row(
        number=57,
        arrives="403 with a firewall's page",
        we="try once more",
        scripts=(page(403), OK),
        then=MADE,
    ),
    row(
        number=57,
        arrives="403 with a firewall's page",
        variant="twice",
        we="stop: the provider is not reached",
        scripts=(page(403),),
        then=Then(stop=Unreachable, n_requests=2, also=says("firewall")),
        job={"retry": {"attempts": 1}},
    ),
    row(
        number=58,
        arrives="404: these output modalities are not supported",
        we="ask for the others once, and remember that for the run",
        scripts=(NO_SUCH_MODALITIES, OK),
        then=Then(n_requests=3, also=modalities(WANT_BOTH, WANT_IMAGE, WANT_IMAGE)),
        job={"prompts": ["one", "two"], "retry": {"attempts": 1}},
    ),
    row(
        number=58,
        arrives="404: these output modalities are not supported",
        variant="nor the others",
        we="stop",
        scripts=(NO_SUCH_MODALITIES,),
        then=Then(stop=Misconfigured, n_requests=2, also=says("modalities")),
    ),
    row(
        number=58,
        arrives="404: these output modalities are not supported",
        variant="that params asks for",
        we="stop: the user's own word is not changed",
        scripts=(NO_SUCH_MODALITIES,),
        then=Then(stop=Misconfigured, n_requests=1),
        job={"params": {"modalities": WANT_BOTH}},
    ),
    row(
        number=59,
        arrives="404: no such model",
        we="stop and point to the list of models",
        scripts=(error(404, "No endpoints found for some/model"),),
        then=Then(stop=Misconfigured, n_requests=1, also=says("imagebatch models")),
    ),
    row(
        number=59,
        arrives="404: no such model",
        variant="of several",
        we="go on with the other models; its tasks fail unasked",
        scripts=(error(404, "No endpoints found for a/one"), OK),
        then=Then(also=goes_on_without(Why.MODEL, n_requests=2)),
        job=SEVERAL,
    ),
    row(
        number=59,
        arrives="availability.retryable is false",
        we="stop and name the models offered instead",
        scripts=(
            error(
                503, "gone", availability={"retryable": False, "fallback_models": ["b/c", "d/e"]}
            ),
        ),
        then=Then(stop=Misconfigured, n_requests=1, also=says("b/c, d/e")),
    ),
    row(
        number=59,
        arrives="404 with a web page",
        we="stop: base_url is wrong, not the model",
        scripts=(page(404, "404 Not Found"),),
        then=Then(stop=Misconfigured, n_requests=1, also=says("base_url")),
    ),
    row(
        number=60,
        arrives="availability.retryable is true",
        we="try again when it says",
        scripts=(error(404, availability={"retryable": True, "retry_after": 0.5}), OK),
        then=Then(images=(RED,), attempts=2, also=waits(0.5)),
    ),
    *(
        row(
            number=61,
            arrives="a redirect",
            variant=str(status),
            we="stop; it is never followed, nor is the key sent there",
            scripts=(Script.whole(b"", status, location="/v1/elsewhere"), OK),
            then=Then(stop=Misconfigured, n_requests=1, also=says("base_url", "/v1/elsewhere")),
        )
        for status in (301, 302, 307, 308)
    ),
)

NETWORK = (
    row(
        number=62,
        arrives="connection refused at the first call",
        we="stop: the provider cannot be reached",
        scripts=(OK,),
        then=Then(stop=Unreachable, n_requests=0, also=says("cannot be reached")),
        profile={"base_url": f"http://127.0.0.1:{closed_port()}/v1"},
    ),
    row(
        number=62,
        arrives="a host name nobody knows",
        we="stop: the provider cannot be reached",
        scripts=(OK,),
        then=Then(stop=Unreachable, n_requests=0, also=says("cannot be reached")),
        profile={"base_url": "https://nobody.invalid/v1"},
    ),
    row(
        number=62,
        arrives="no TLS where https is asked for",
        we="stop: the provider cannot be reached",
        scripts=(OK,),
        then=Then(stop=Unreachable, n_requests=0, also=says("TLS")),
        profile={"base_url": "https://127.0.0.1:{port}/v1"},
        greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ),
    row(
        number=63,
        arrives="a reset on a kept connection before the answer",
        we="send it again at once on a fresh one; it costs no attempt",
        scripts=(OK, Script().reset(), OK),
        then=Then(images=(RED,), attempts=1, n_requests=3),
        job={"prompts": ["one", "two"]},
    ),
    row(
        number=63,
        arrives="a reset on a fresh connection",
        we="try again; it may have been billed",
        scripts=(Script().reset(), OK),
        then=Then(images=(RED,), attempts=2, n_requests=2, also=costs(1)),
    ),
    row(
        number=64,
        arrives="a cut body",
        variant="chunked",
        we="try again; it may have been billed",
        scripts=(Script().stream().chunk(HALF).close(), OK),
        then=Then(images=(RED,), attempts=2, n_requests=2, also=costs(1)),
    ),
    row(
        number=64,
        arrives="a cut body",
        variant="with its length",
        we="try again; it may have been billed",
        scripts=(Script().head(content_length=len(BODY)).send(HALF).close(), OK),
        then=Then(images=(RED,), attempts=2, n_requests=2, also=costs(1)),
    ),
    row(
        number=64,
        arrives="a cut body",
        variant="reset",
        we="try again; it may have been billed",
        scripts=(Script().head(content_length=len(BODY)).send(HALF).reset(), OK),
        then=Then(images=(RED,), attempts=2, n_requests=2, also=costs(1)),
    ),
    row(
        number=64,
        arrives="a cut body",
        variant="that ends with its connection",
        we="try again",
        scripts=(Script.until_close(HALF), OK),
        then=MADE,
    ),
    row(
        number=64,
        arrives="a cut body",
        variant="of gzip",
        we="try again",
        scripts=(
            Script.until_close(gzip.compress(BODY)[:200], content_encoding="gzip"),
            OK,
        ),
        then=MADE,
    ),
    row(
        number=65,
        arrives="nothing more after half a body",
        we="give up after timeouts.idle and try again",
        scripts=(Script().head(content_length=len(BODY)).send(HALF).hang(), OK),
        then=Then(images=(RED,), attempts=2, n_requests=2, also=costs(1)),
        job={"timeouts": {"idle": 0.3}},
    ),
    row(
        number=66,
        arrives="no answer within timeouts.total",
        we="fail after retry.lost tries: each may have been billed",
        scripts=(Script().stream().drip(b" ", times=100, every_s=0.05).hang(),),
        then=failed(Why.LOST, n_requests=2, also=costs(2)),
        job={"timeouts": {"total": 0.4}, "retry": {"attempts": 5, "lost": 2}},
    ),
    row(
        number=67,
        arrives="a header that is too long",
        we="try again; it is no 400",
        scripts=(json(drawn(), x_long="x" * 20_000), OK),
        then=MADE,
    ),
    row(
        number=67,
        arrives="a content encoding nobody asked for",
        we="try again; it is no 400",
        scripts=(json(drawn(), content_encoding="br"),),
        then=failed(Why.BAD_REPLY, n_requests=3),
    ),
)

NOT_OK = (
    row(number=68, arrives="200 with a web page", we="try again", scripts=(page(), OK), then=MADE),
    *(
        row(
            number=69,
            arrives="200 with nothing",
            variant=name,
            we="try again",
            scripts=(Script.whole(body), OK),
            then=MADE,
        )
        for name, body in (("empty", b""), ("white space", b"\n  \r\n"), ("null", b"null"))
    ),
    row(
        number=70,
        arrives="200 with half a JSON document",
        we="try again",
        scripts=(Script.whole(orjson.dumps(message(content="x" * 99))[:70]), OK),
        then=MADE,
    ),
    *(
        row(
            number=71,
            arrives="200 with an error of code 429",
            variant=type(code).__name__,
            we="treat it as a 429",
            scripts=(inside(code=code, metadata={"headers": {"Retry-After": "0.3"}}), OK),
            then=Then(images=(RED,), n_requests=2, also=waits(0.3)),
        )
        for code in (429, "429")
    ),
    row(
        number=72,
        arrives="200 with an error in the choice",
        we="treat it by its type",
        scripts=(
            json(
                {
                    "choices": [
                        {
                            "message": {"content": ""},
                            "finish_reason": "error",
                            "error": {"code": 502, "message": "Provider returned error"},
                        }
                    ]
                }
            ),
            OK,
        ),
        then=MADE,
    ),
    row(
        number=72,
        arrives="200 with an error in the choice",
        variant="of content policy",
        we="fail: refused",
        scripts=(
            json(
                {
                    "choices": [
                        {
                            "finish_reason": "error",
                            "error": {
                                "code": 400,
                                "message": "not this",
                                "metadata": {"error_type": "content_policy_violation"},
                            },
                        }
                    ]
                }
            ),
            OK,
        ),
        then=failed(Why.REFUSED, detail="not this"),
    ),
    *(
        row(
            number=73,
            arrives="no choices",
            variant=name,
            we="fail after retry.no_image tries",
            scripts=(json({"id": "gen-7", **body}),),
            then=failed(Why.NO_IMAGE, n_requests=2),
        )
        for name, body in (
            ("empty", {"choices": []}),
            ("missing", {}),
            ("null", {"choices": None}),
        )
    ),
    row(
        number=74,
        arrives="words and no image",
        we="fail after retry.no_image tries, the words kept",
        scripts=(json(message(content="Here is your picture:")),),
        then=failed(Why.NO_IMAGE, n_requests=2, text="Here is your picture:"),
    ),
    row(
        number=75,
        arrives="the model declines in words",
        we="fail: refused, the words kept",
        scripts=(json(message(content="I'm sorry, I can't create that.")), OK),
        then=failed(Why.REFUSED, text="I'm sorry, I can't create that."),
    ),
    row(
        number=75,
        arrives="a refusal in a field of its own",
        we="fail: refused, the words kept",
        scripts=(json(message(refusal="Not this one.")), OK),
        then=failed(Why.REFUSED, text="Not this one."),
    ),
    *(
        row(
            number=75,
            arrives="a native reason of safety",
            variant=native,
            we="fail: refused, the reason kept",
            scripts=(json(message(native=native, content=None)), OK),
            then=failed(Why.REFUSED, detail=native.lower()),
        )
        for native in ("IMAGE_SAFETY", "PROHIBITED_CONTENT")
    ),
    row(
        number=75,
        arrives="a refusal where retry.refused allows another try",
        we="try once more",
        scripts=(json(message(native="IMAGE_SAFETY", content=None)), OK),
        then=MADE,
        job={"retry": {"refused": 2}},
    ),
    *(
        row(
            number=76,
            arrives="a native reason that is no refusal",
            variant=native,
            we="fail after retry.no_image tries, whatever the gateway made of it",
            scripts=(json(message("content_filter", native, content=None)),),
            then=failed(Why.NO_IMAGE, n_requests=2, detail=native.lower()),
        )
        for native in ("NO_IMAGE", "IMAGE_OTHER")
    ),
    row(
        number=77,
        arrives="1,120 tokens counted and no image",
        we="try again; the detail says that the gateway dropped the image",
        scripts=(json(message(content=None) | {"usage": {"completion_tokens": 1120}}),),
        then=failed(Why.NO_IMAGE, n_requests=2, detail="the gateway dropped the image"),
    ),
    *(
        row(
            number=78,
            arrives="an image without content",
            variant=name,
            we="try again",
            scripts=(json(message(images=[{"image_url": {"url": url}}])), OK),
            then=MADE,
        )
        for name, url in (("no url", ""), ("no base64", "data:image/png;base64,"))
    ),
    row(
        number=79,
        arrives="base64 cut between two groups of four",
        we="notice that the image is cut, and try again",
        scripts=(json(drawn(RED[: len(RED) // 6 * 3])),),
        then=failed(Why.BAD_IMAGE, n_requests=3),
    ),
    *(
        row(
            number=80,
            arrives="base64 of something else",
            variant=name,
            we="try again",
            scripts=(json(drawn(content)), OK),
            then=MADE,
        )
        for name, content in (("HTML", b"<html>oops" * 40), ("JSON", b'{"error":"no"}' * 40))
    ),
    row(
        number=81,
        arrives="an image of 1x1 pixels",
        we="keep it with a warning",
        scripts=(json(drawn(png(1, 1))),),
        then=Then(images=(png(1, 1),), warnings=("1x1 pixels",), n_requests=1),
    ),
    row(
        number=81,
        arrives="an image of another ratio than asked for",
        we="keep it with a warning",
        scripts=(json(drawn(png(64, 64))),),
        then=Then(images=(png(64, 64),), warnings=("not the ratio 16:9",), n_requests=1),
        job={"aspect_ratio": "16:9"},
    ),
)

SHAPES: tuple[tuple[str, int, Any, Then], ...] = (
    ("detail", 400, {"detail": "n is wrong"}, failed(Why.REJECTED, detail="n is wrong")),
    (
        "detail as an object",
        400,
        {"detail": {"error": "n is wrong"}},
        failed(Why.REJECTED, detail="n is wrong"),
    ),
    ("a string", 400, {"error": "n is wrong"}, failed(Why.REJECTED, detail="n is wrong")),
    (
        "xAI",
        400,
        {"code": "Client specified an invalid argument", "error": "n is wrong"},
        failed(Why.REJECTED, detail="n is wrong"),
    ),
    (
        "xAI key",
        400,
        {"code": "Client specified an invalid argument", "error": "Incorrect API key provided"},
        Then(stop=NotAllowed, n_requests=1),
    ),
    (
        "Anthropic",
        400,
        {"type": "error", "error": {"type": "invalid_request_error", "message": "n is wrong"}},
        failed(Why.REJECTED, detail="n is wrong"),
    ),
    (
        "Anthropic overloaded",
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "later"}},
        failed(Why.OVERLOADED, n_requests=3, detail="later"),
    ),
    (
        "LiteLLM",
        400,
        {"error": {"message": "n is wrong", "type": None, "param": None, "code": "400"}},
        failed(Why.REJECTED, detail="n is wrong"),
    ),
    (
        "LiteLLM budget",
        400,
        {"error": {"message": "over budget", "type": "budget_exceeded", "code": "400"}},
        Then(stop=NotAllowed, n_requests=1),
    ),
    (
        "new-api",
        400,
        {"error": {"message": "blocked", "type": "new_api_error", "code": "prompt_blocked"}},
        failed(Why.REFUSED, detail="blocked"),
    ),
    (
        "vLLM",
        400,
        {"object": "error", "message": "n is wrong", "type": "BadRequestError", "code": 400},
        failed(Why.REJECTED, detail="n is wrong"),
    ),
    (
        "Google",
        400,
        [{"error": {"code": 400, "message": "n is wrong", "status": "INVALID_ARGUMENT"}}],
        failed(Why.REJECTED, detail="n is wrong"),
    ),
    ("a bare message", 400, {"message": "n is wrong"}, failed(Why.REJECTED, detail="n is wrong")),
    ("plain text", 400, b"n is wrong", failed(Why.REJECTED, detail="n is wrong")),
    (
        "raw behind a gateway's words",
        400,
        {
            "error": {
                "code": 400,
                "message": "Provider returned error",
                "metadata": {"raw": '{"error":{"message":"n is wrong"}}'},
            }
        },
        failed(Why.REJECTED, detail="Provider returned error: n is wrong"),
    ),
)

ERRORS = tuple(
    row(
        number=82,
        arrives="an error in another shape",
        variant=name,
        we="find its message and judge it by its kind",
        scripts=(Script.whole(body, status) if isinstance(body, bytes) else json(body, status), OK)
        if then.attempts == 1 or then.stop
        else (json(body, status),),
        then=then,
    )
    for name, status, body, then in SHAPES
)

OPERATION = (
    row(
        number=86,
        arrives="an error that echoes the prompt, a picture and an account",
        we="leave all of that out of records and messages",
        scripts=(
            json(
                {
                    "error": {
                        "code": 400,
                        "message": f"cannot draw `{SECRET_PROMPT}` for user_2abcDEF0123456789",
                        "metadata": {
                            "raw": f"sent data:image/png;base64,{'A' * 400} and {'A' * 400}",
                            "flagged_input": "flagged text",
                        },
                    },
                    "user_id": "user_2abcDEF0123456789",
                },
                400,
            ),
        ),
        then=failed(Why.REJECTED, detail="cannot draw", also=has_no_secret),
        job={"prompts": [SECRET_PROMPT]},
    ),
    row(
        number=86,
        arrives="an error that echoes the key",
        we="mask it in every message",
        scripts=(error(401, f"Incorrect API key provided: {KEY}", metadata={"raw": KEY}),),
        then=Then(stop=NotAllowed, n_requests=1, also=says("key provided: ***")),
    ),
    row(
        number=86,
        arrives="a reply that echoes the key beside its image",
        we="mask it in the record",
        scripts=(json(drawn() | {"id": f"gen-{KEY}", "model": KEY, "usage": {"for": [KEY]}}),),
        then=Then(images=(RED,), n_requests=1),
    ),
    row(
        number=86,
        arrives="a redirect that echoes the key",
        we="mask it in the message",
        scripts=(Script.whole(b"", 307, location=f"/login?key={KEY}"),),
        then=Then(stop=Misconfigured, n_requests=1, also=says("key=***")),
    ),
    row(
        number=87,
        arrives="one reply for all samples, as replies are cached by their request",
        we="make every sample a request of its own; a retry is the same",
        scripts=(error(500), OK, json(drawn(png(24, 17))), json(drawn(png(24, 18)))),
        then=Then(n_requests=4, also=has_distinct_samples),
        profile={"headers": {"X-OpenRouter-Cache": "true"}},
        job={"samples": 3},
    ),
    row(
        number=88,
        arrives="nothing: a prompt stands twice in the job",
        we="ask once",
        scripts=(OK,),
        then=Then(images=(RED,), n_requests=1, also=is_one_task),
        job={"prompts": ["a cat", "a cat"]},
    ),
    row(
        number=89,
        arrives="2,000 errors in a row",
        we="read each to its end: no connection is lost",
        scripts=(error(500),),
        then=Then(n_requests=2_000, also=leaks_nothing),
        job={
            "samples": 2_000,
            "limits": {"concurrency": 20, "requests_per_minute": 600_000},
            "retry": {"attempts": 1},
            "stop": {"failures_in_a_row": 5_000},
        },
    ),
)

ENTRIES: dict[str, dict[str, Any]] = {
    "prices as text": {"pricing": {"prompt": "0.0000003", "image_output": "0.039"}},
    "-1 for unknown": {"pricing": {"prompt": "-1", "image": -1}},
    "display units": {"pricing": {"prompt": 0.3}, "pricing_in_display_units": True},
    "prices that are none": {"pricing": {"prompt": "free", "image": None, "request": [1]}},
    "no prices": {"pricing": None},
    "no architecture": {"architecture": None},
    "an architecture of another kind": {"architecture": "image"},
    "modalities of another kind": {"architecture": {"output_modalities": "image"}},
}
LISTS = tuple(
    row(
        number=90,
        arrives="a list of models in an odd shape",
        variant=name,
        we="list what can be read; an odd price is no price",
        scripts=(json({"data": [{"id": "a/b", **entry}, {"id": 7}, None]}),),
        then=Then(),
    )
    for name, entry in ENTRIES.items()
)
"""These are asked for by GET and make no run."""

CASES = (*HINTS, *STATUSES, *NETWORK, *NOT_OK, *ERRORS, *OPERATION)
