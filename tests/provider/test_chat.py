"""The chat dialect: what is asked, and what every shape of reply is taken for."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from pipeline.core.model import Failure, Reply, Secret, Task, Why
from pipeline.core.ports import Break, Broken, Found
from pipeline.errors import Guarded, Misconfigured, NotAllowed, Unreachable
from pipeline.provider.chat import Chat

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = Secret("sk-very-secret-123")
TASK = Task(id="0" * 20, index=0, sample=0, prompt="a cat", model="some/model")


def png(colour: str = "red", size: tuple[int, int] = (24, 16)) -> bytes:
    target = io.BytesIO()
    Pillow.effect_noise(size, 90).convert("RGB").save(target, "PNG")
    if colour == "red":
        target = io.BytesIO()
        Pillow.linear_gradient("L").resize(size).save(target, "PNG")
    return target.getvalue()


RED, NOISE = png("red"), png("noise")


def data_url(image: bytes = RED, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


def message(**said: Any) -> dict[str, Any]:
    return {
        "id": "gen-7",
        "model": "served/model",
        "choices": [{"message": {"role": "assistant", **said}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1290, "cost": 0.039},
    }


def images(*urls: str) -> list[dict[str, Any]]:
    return [{"type": "image_url", "image_url": {"url": url}} for url in urls]


def events(*documents: Any, done: bool = True) -> bytes:
    lines = [b": OPENROUTER PROCESSING\n\n"]
    lines += [b"data: " + orjson.dumps(document) + b"\n\n" for document in documents]
    return b"".join(lines) + (b"data: [DONE]\n\n" if done else b"")


async def nothing(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def read(
    body: bytes | dict[str, Any],
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    broken: Broken | None = None,
    step: int = 1 << 20,
) -> tuple[Found | Failure, dict[int, bytes]]:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    reply = Reply(status=status, headers=headers or {}, arrived_at=1_788_220_000, body=nothing())
    reader = Chat(is_streamed=False, mask=KEY.masked_in).reader_of(reply, TASK)
    pieces: dict[int, bytes] = {}
    for at in range(0, len(raw), step):
        for number, piece in reader.feed(raw[at : at + step]):
            pieces[number] = pieces.get(number, b"") + piece
    return reader.close(broken), pieces


def found(body: bytes | dict[str, Any], **more: Any) -> list[bytes]:
    verdict, pieces = read(body, **more)
    assert isinstance(verdict, Found), verdict
    return [pieces[image.number] for image in verdict.images]


def failure(body: bytes | dict[str, Any], **more: Any) -> Failure:
    verdict, _ = read(body, **more)
    assert isinstance(verdict, Failure), verdict
    return verdict


# What is asked


def asked(task: Task = TASK, *, is_streamed: bool = False) -> dict[str, Any]:
    chat = Chat(is_streamed=is_streamed, mask=str)
    body: dict[str, Any] = orjson.loads(chat.request_for(task).body)
    return body


def test_the_request_is_the_guides_own() -> None:
    assert asked() == {
        "model": "some/model",
        "messages": [{"role": "user", "content": "a cat"}],
        "modalities": ["image", "text"],
    }


def test_a_streamed_request_says_so() -> None:
    assert asked(is_streamed=True) == asked() | {"stream": True}


def test_neutral_names_and_parameters_find_their_places() -> None:
    task = Task(
        id="0" * 20,
        index=0,
        sample=0,
        prompt="p",
        model="m",
        aspect_ratio="16:9",
        image_size="2K",
        seed=7,
        params={"temperature": 1, "image_config": {"quality": "high"}, "modalities": ["image"]},
    )
    body = asked(task)
    assert body["image_config"] == {"aspect_ratio": "16:9", "image_size": "2K", "quality": "high"}
    assert (body["seed"], body["temperature"], body["modalities"]) == (7, 1, ["image"])


# What an image may come as


SHAPES: dict[str, dict[str, Any]] = {
    "images list": message(content="Here you are", images=images(data_url())),
    "image_url is a string": message(content="", images=[{"image_url": data_url()}]),
    "no type, an index and a detail": message(
        images=[{"index": 0, "image_url": {"url": data_url(), "detail": "auto"}}]
    ),
    "content parts": message(content=[{"type": "text", "text": "Hi"}, *images(data_url())]),
    "markdown in the content": message(content=f"![image]({data_url()})"),
    "a data URL as content": message(content=data_url()),
    "bare base64 under image": message(image=[{"data": base64.b64encode(RED).decode()}]),
    "inline_data": message(
        content=[{"inline_data": {"mime_type": "x", "data": base64.b64encode(RED).decode()}}]
    ),
    "role and content in the choice": {"choices": [{"role": "assistant", "content": data_url()}]},
    "parameters in the data URL": message(images=images(data_url(kind="image/png;charset=x"))),
    "no type in the data URL": message(images=images(data_url(kind=""))),
    "finish reason length": message(images=images(data_url())) | {"finish_reason": "length"},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_is_found_in_every_shape(shape: str) -> None:
    assert found(SHAPES[shape]) == [RED]


@pytest.mark.parametrize("shape", SHAPES)
def test_text_is_kept_without_base64(shape: str) -> None:
    verdict, _ = read(SHAPES[shape])
    assert isinstance(verdict, Found)
    text = verdict.answer.text or ""
    assert "base64" not in text
    assert "\x00" not in text
    assert len(text) < 40


def test_several_images_keep_their_order_and_the_same_one_twice_counts_once() -> None:
    urls = [data_url(NOISE), data_url(RED), data_url(NOISE)]
    assert found(message(images=images(*urls))) == [NOISE, RED]


def test_what_the_reply_says_beside_its_images_is_kept() -> None:
    verdict, _ = read(
        message(content="A cat.", images=images(data_url())),
        headers={"x-generation-id": "gen-head"},
    )
    assert isinstance(verdict, Found)
    answer = verdict.answer
    assert (answer.text, answer.served_model) == ("A cat.", "served/model")
    assert (answer.request_id, answer.cost_usd) == ("gen-head", 0.039)
    assert answer.usage["completion_tokens"] == 1290
    image = verdict.images[0]
    assert (image.media_type, image.width, image.height) == ("image/png", 24, 16)


def delta(**said: Any) -> dict[str, Any]:
    return {"id": "gen-7", "choices": [{"delta": said}]}


USAGE = {"choices": [], "usage": {"cost": 0.04}}
END = {"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}


def test_a_stream_gives_the_same_as_a_plain_reply() -> None:
    stream = events(
        delta(role="assistant", content="A "),
        delta(content="cat."),
        delta(images=images(data_url())),
        END,
        USAGE,
    )
    verdict, pieces = read(stream)
    assert isinstance(verdict, Found)
    assert (verdict.answer.text, verdict.answer.cost_usd) == ("A cat.", 0.04)
    assert list(pieces.values()) == [RED]


@pytest.mark.parametrize(
    "stream",
    [
        events(delta(images=images(data_url())), END, done=False),
        events(delta(images=images(data_url())), delta(images=images(data_url())), END),
        events(delta(images=images(data_url()))) + b"data: not json\n\n",
        b"data: oops\n\n" + events(delta(images=images(data_url()))),
        events(delta(images=images(data_url())), {"error": {"code": 502, "message": "x"}}),
        events(delta(images=images(data_url()))).replace(b"\n\n", b"\n"),
        events(delta(images=images(data_url()))).replace(b"\n", b"\r\n"),
        events(delta(images=images(data_url()))).replace(b"data: ", b"data:"),
    ],
    ids=["no end", "twice", "garbage after", "garbage before", "error after", "no blank lines",
         "carriage returns", "no space"],
)  # fmt: skip
def test_a_stream_with_quirks_still_gives_its_image(stream: bytes) -> None:
    assert found(stream) == [RED]


def test_a_json_document_where_a_stream_was_asked_is_read() -> None:
    assert found(b"\n \n" + orjson.dumps(message(images=images(data_url())))) == [RED]


def test_an_image_that_was_whole_before_the_stream_broke_is_kept() -> None:
    stream = events(delta(images=images(data_url())), done=False)
    assert found(stream, broken=Broken(Break.CUT)) == [RED]


@given(step=st.integers(1, 700), shape=st.sampled_from(sorted(SHAPES)))
def test_the_split_of_the_bytes_makes_no_difference_to_the_verdict(step: int, shape: str) -> None:
    assert read(SHAPES[shape], step=step) == read(SHAPES[shape])


# What else may come


def in_200(**error: Any) -> dict[str, Any]:
    return {"error": {"message": "said so", **error}}


FAILURES: list[tuple[str, bytes | dict[str, Any], int, Why, type[Exception] | None]] = [
    ("empty body", b"", 200, Why.BAD_REPLY, None),
    ("blank lines only", b"\n  \n", 200, Why.BAD_REPLY, None),
    ("null", b"null", 200, Why.BAD_REPLY, None),
    ("a web page", b"<!DOCTYPE html><p>x", 200, Why.BAD_REPLY, None),
    ("half a document", orjson.dumps(message(content="x" * 99))[:60], 200, Why.BAD_REPLY, None),
    ("no choices", {"choices": []}, 200, Why.NO_IMAGE, None),
    ("choices null", {"choices": None}, 200, Why.NO_IMAGE, None),
    ("text only", message(content="Here is your picture:"), 200, Why.NO_IMAGE, None),
    ("nothing said", message(content=None), 200, Why.NO_IMAGE, None),
    ("empty url", message(images=images("")), 200, Why.BAD_IMAGE, None),
    ("empty data URL", message(images=images("data:image/png;base64,")), 200, Why.BAD_IMAGE, None),
    ("half an image", message(images=images(data_url(RED[:-40]))), 200, Why.BAD_IMAGE, None),
    ("text as an image", message(images=images(data_url(b"<p>" * 30))), 200, Why.BAD_IMAGE, None),
    ("declines", message(content="I'm sorry, I can't create that."), 200, Why.REFUSED, None),
    ("refusal field", message(refusal="No."), 200, Why.REFUSED, None),
    (
        "native reason",
        {"choices": [{"message": {}, "native_finish_reason": "IMAGE_SAFETY"}]},
        200,
        Why.REFUSED,
        None,
    ),
    ("429 in 200", in_200(code=429), 200, Why.THROTTLED, None),
    ("'429' in 200", in_200(code="429"), 200, Why.THROTTLED, None),
    ("502 in 200", in_200(code=502), 200, Why.SERVER_ERROR, None),
    ("word in 200", in_200(code="server_error"), 200, Why.SERVER_ERROR, None),
    ("error without a kind", in_200(), 200, Why.SERVER_ERROR, None),
    (
        "error in the choice",
        {"choices": [{"finish_reason": "error", "error": {"code": 503, "message": "x"}}]},
        200,
        Why.OVERLOADED,
        None,
    ),
    ("stream error", events(delta(content=""), in_200(code=429)), 200, Why.THROTTLED, None),
    ("429", in_200(code=429), 429, Why.THROTTLED, None),
    ("429 without a body", b"", 429, Why.THROTTLED, None),
    (
        "daily quota",
        in_200(code=429, metadata={"limit_source": "openrouter_free_tier_daily"}),
        429,
        Why.THROTTLED,
        Guarded,
    ),
    ("500 page", b"<html>oops", 500, Why.SERVER_ERROR, None),
    ("503", b"", 503, Why.OVERLOADED, None),
    ("524 page", b"<html>timeout", 524, Why.SERVER_ERROR, None),
    ("529", {"detail": "upstream overloaded"}, 529, Why.OVERLOADED, None),
    ("408", b"", 408, Why.SERVER_ERROR, None),
    ("400", in_200(code=400, message="bad aspect"), 400, Why.REJECTED, None),
    ("400 policy", in_200(metadata={"error_type": "content_policy_violation"}), 400, Why.REFUSED,
     None),
    ("413", b"", 413, Why.TOO_LARGE, None),
    ("422", {"detail": [{"loc": ["body", "n"], "msg": "too many"}]}, 422, Why.REJECTED, None),
    ("401", in_200(code=401), 401, Why.AUTH, NotAllowed),
    ("402", in_200(code=402), 402, Why.CREDIT, NotAllowed),
    ("403 moderation", in_200(metadata={"reasons": ["violence"]}), 403, Why.REFUSED, None),
    ("403 model", in_200(message="This token is not authorized to use model: X"), 403, Why.AUTH,
     NotAllowed),
    ("403 suspended", in_200(message="Access blocked: your account is suspended"), 403, Why.AUTH,
     NotAllowed),
    ("403 country", in_200(message="This is prohibited in your country"), 403, Why.AUTH,
     NotAllowed),
    ("403 guardrail", in_200(message="Request blocked by a guardrail"), 403, Why.REFUSED, None),
    ("400 safety setting", in_200(message="safety_settings is not supported"), 400, Why.REJECTED,
     None),
    ("400 a parameter", in_200(message="Invalid model parameter: temperature"), 400, Why.REJECTED,
     None),
    ("400 an overload", in_200(message="model overloaded, not found capacity"), 400, Why.REJECTED,
     None),
    ("400 a model", in_200(message="The model 'gpt-x' does not exist"), 400, Why.MODEL,
     Misconfigured),
    ("400 model id", in_200(message="foo/bar is not a valid model ID"), 400, Why.MODEL,
     Misconfigured),
    ("400 model name", in_200(message="Invalid model name passed in model=x"), 400, Why.MODEL,
     Misconfigured),
    ("403 page", b"<html>denied", 403, Why.UNREACHABLE, Unreachable),
    ("404", in_200(message="No such model"), 404, Why.MODEL, Misconfigured),
    ("redirect", b"", 302, Why.AUTH, Misconfigured),
    ("not retryable", in_200(availability={"retryable": False, "fallback_models": ["b/c"]}), 503,
     Why.MODEL, Misconfigured),
    ("retryable", in_200(availability={"retryable": True, "retry_after": 4}), 404, Why.OVERLOADED,
     None),
    ("anthropic", {"type": "error", "error": {"type": "overloaded_error"}}, 529, Why.OVERLOADED,
     None),
    ("litellm", in_200(type="budget_exceeded", code="400"), 400, Why.CREDIT, NotAllowed),
    ("xai", {"code": "Client specified an invalid argument", "error": "bad n"}, 400, Why.REJECTED,
     None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "why", "stop"), [row[1:] for row in FAILURES], ids=[r[0] for r in FAILURES]
)
def test_everything_else_has_its_reason(
    body: bytes | dict[str, Any], status: int, why: Why, stop: type[Exception] | None
) -> None:
    verdict = failure(body, status=status)
    assert verdict.why is why
    assert type(verdict.stop) is (stop or type(None))


@pytest.mark.parametrize(
    ("how", "why", "is_maybe_billed"),
    [
        (Break.REFUSED, Why.UNREACHABLE, False),
        (Break.DNS, Why.UNREACHABLE, False),
        (Break.TLS, Why.UNREACHABLE, False),
        (Break.CONNECT_TIMEOUT, Why.TIMEOUT, False),
        (Break.IDLE, Why.LOST, True),
        (Break.TOTAL, Why.LOST, True),
        (Break.RESET, Why.LOST, True),
        (Break.CUT, Why.LOST, True),
        (Break.GARBLED, Why.BAD_REPLY, True),
        (Break.TOO_LARGE, Why.TOO_LARGE, True),
    ],
)
def test_a_broken_exchange_has_its_reason(how: Break, why: Why, *, is_maybe_billed: bool) -> None:
    verdict = Chat(is_streamed=False, mask=str).failure_of(Broken(how))
    assert (verdict.why, verdict.is_maybe_billed) == (why, is_maybe_billed)
    half = orjson.dumps(message(images=images(data_url())))[:-200]
    assert failure(half, broken=Broken(how)).why is why


def test_the_providers_own_words_are_the_detail_and_the_hint_is_read() -> None:
    raw = json.dumps({"error": {"message": "quota of project"}})
    body = in_200(code=429, message="Provider returned error", metadata={"raw": raw})
    verdict = failure(body, status=429, headers={"retry-after": "7"})
    assert verdict.answer.detail == "Provider returned error: quota of project"
    assert verdict.retry_after_s == 7


def test_a_key_that_the_provider_echoes_is_masked() -> None:
    verdict = failure(in_200(message=f"bad key {KEY.reveal()}"), status=400)
    assert KEY.reveal() not in str(verdict)
    assert failure(message(content=KEY.reveal())).answer.text == "***"


def test_alternatives_are_named_where_a_model_is_gone() -> None:
    body = in_200(availability={"retryable": False, "fallback_models": ["b/c", "d/e"]})
    assert "b/c, d/e" in str(failure(body, status=404).stop)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(junk: bytes) -> None:
    assert isinstance(read(junk)[0], Failure)
    assert isinstance(read(b'{"choices":[' + junk)[0], Failure)


@pytest.mark.parametrize(
    "text", ['"\\ud800 lone"', "[" * 5_000, '{"a": NaN}', '"\\u0000run:9\\u0000"']
)
def test_odd_json_is_no_surprise(text: str) -> None:
    body = b'{"choices":[{"message":{"content":' + text.encode() + b"}}]}"
    assert failure(body).why in {Why.NO_IMAGE, Why.BAD_REPLY, Why.BAD_IMAGE}
