"""What each dialect says of a task, what it cannot say, and what an images reply is taken for."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from pipeline.core.model import Failure, Reference, Reply, Task, Why
from pipeline.core.ports import Break, Broken, Found
from pipeline.provider.chat import Chat
from pipeline.provider.dialects import DIALECTS, RATIOS, Unsayable, Wish, pixels_of, unsayable
from pipeline.provider.images import Images

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pipeline.core.ports import Provider


def task(**more: Any) -> Task:
    return Task(
        **{"id": "0" * 20, "index": 0, "sample": 0, "prompt": "a cat", "model": "m", **more}
    )


def provider(dialect: str, *, is_streamed: bool = False) -> Provider:
    if dialect.startswith("chat"):
        server = dialect.partition("/")[2] or None
        return Chat(is_streamed=is_streamed, mask=str, server=server)
    return Images(dialect=dialect, is_streamed=is_streamed, mask=str)


def body(dialect: str, *, is_streamed: bool = False, **more: Any) -> dict[str, Any]:
    request = provider(dialect, is_streamed=is_streamed).request_for(task(**more))
    pieces = (request.body, *request.more)
    text = b"".join(p if isinstance(p, bytes) else f"<{p.source}>".encode() for p in pieces)
    asked: dict[str, Any] = orjson.loads(text)
    assert request.path == DIALECTS[dialect].path
    assert request.is_streamed is is_streamed
    return asked


# What is asked

BARE = {"model": "m", "prompt": "a cat"}
ASKED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("images", {}, BARE | {"n": 1, "response_format": "b64_json"}),
    ("images", {"seed": 7}, BARE | {"n": 1, "response_format": "b64_json", "seed": 7}),
    ("images", {"aspect_ratio": "16:9"}, {"size": "1344x768"}),
    ("images", {"aspect_ratio": "1:1", "image_size": "2K"}, {"size": "2048x2048"}),
    ("images", {"image_size": "512"}, {"size": "512x512"}),
    ("images", {"image_size": "640x480"}, {"size": "640x480"}),
    ("images", {"params": {"size": "auto"}, "image_size": "1K"}, {"size": "auto"}),
    ("images", {"params": {"n": 3, "quality": "low"}}, {"n": 3, "quality": "low"}),
    ("images", {"model": "gpt-image-1"}, {"model": "gpt-image-1", "prompt": "a cat", "n": 1}),
    ("images", {"model": "openai/gpt-image-1.5", "aspect_ratio": "3:2"}, {"size": "1536x1024"}),
    ("images", {"model": "gpt-image-1", "image_size": "1K"}, {"size": "1024x1024"}),
    ("images", {"model": "gpt-image-1", "image_size": "1024x1536"}, {"size": "1024x1536"}),
    ("images", {"model": "dall-e-3", "aspect_ratio": "7:4"}, {"size": "1792x1024"}),
    ("openrouter-images", {}, BARE),
    ("openrouter-images", {"seed": 7}, BARE | {"seed": 7}),
    ("openrouter-images", {"aspect_ratio": "21:9", "image_size": "4K"},
     BARE | {"aspect_ratio": "21:9", "resolution": "4K"}),
    ("openrouter-images", {"aspect_ratio": "4:3", "image_size": "1024x768"},
     BARE | {"size": "1024x768"}),
    ("chat", {"aspect_ratio": "5:1", "image_size": "9K"},
     {"image_config": {"aspect_ratio": "5:1", "image_size": "9K"}}),
    ("chat", {"aspect_ratio": "1:1", "params": {"image_config": {"style": "ink"}}},
     {"image_config": {"aspect_ratio": "1:1", "style": "ink"}}),
    ("chat/vllm-omni",
     {"aspect_ratio": "16:9", "seed": 7, "params": {"num_inference_steps": 30}},
     {"model": "m", "messages": [{"role": "user", "content": "a cat"}],
      "extra_body": {"width": 1344, "height": 768, "seed": 7, "num_inference_steps": 30}}),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "wish", "expected"), ASKED)
def test_neutral_names_are_said_in_each_dialect(
    dialect: str, wish: dict[str, Any], expected: dict[str, Any]
) -> None:
    asked = body(dialect, **wish)
    is_whole = "model" in expected
    assert (asked if is_whole else {key: asked[key] for key in expected}) == expected


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_streamed_request_says_so_in_every_dialect(dialect: str) -> None:
    assert body(dialect, is_streamed=True) == body(dialect) | {"stream": True}


UNSAID: list[tuple[str, dict[str, Any], str, str]] = [
    ("images", {"aspect_ratio": "5:7"}, "aspect_ratio", "image_size: 1024x768"),
    ("images", {"model": "gpt-image-1", "aspect_ratio": "16:9"}, "aspect_ratio", "1:1, 3:2, 2:3"),
    ("images", {"model": "gpt-image-1", "image_size": "4K"}, "image_size", "1536x1024"),
    ("images", {"model": "gpt-image-1", "seed": 1}, "seed", "no seed"),
    ("images", {"model": "dall-e-3", "seed": 1}, "seed", "no seed"),
    ("images", {"n_references": 1}, "references", "openrouter-images"),
    ("images", {"aspect_ratio": "16:9", "image_size": "512x512"}, "image_size", "is not 16:9"),
    ("openrouter-images", {"image_size": "0.5K"}, "image_size", "512, 1K"),
    ("openrouter-images", {"aspect_ratio": "1:1", "image_size": "640x480"}, "image_size", "is not"),
    ("chat/vllm-omni", {"aspect_ratio": "5:7"}, "aspect_ratio", "one of"),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "wish", "key", "what"), UNSAID)
def test_what_a_dialect_cannot_say_is_said_at_once(
    dialect: str, wish: dict[str, Any], key: str, what: str
) -> None:
    unsaid = unsayable(DIALECTS[dialect], Wish(**{"model": "m", **wish}))
    assert unsaid
    assert unsaid[0] == key
    assert what in unsaid[1]


def test_a_task_of_another_dialect_is_not_sent() -> None:
    with pytest.raises(Broken, match="seed") as broken:
        body("images", model="gpt-image-1", seed=7)
    failure = provider("images").failure_of(broken.value)
    assert (failure.why, failure.is_maybe_billed) == (Why.REJECTED, False)


@given(st.sampled_from([*RATIOS, None]), st.sampled_from(["512", "0.5K", "1K", "2K", "4K", None]))
def test_a_ratio_keeps_its_shape_and_a_tier_its_area(ratio: str | None, size: str | None) -> None:
    pixels = pixels_of(Wish(model="m", aspect_ratio=ratio, image_size=size))
    if pixels is None:
        assert ratio is size is None
        return
    across, down = map(int, (ratio or "1:1").split(":"))
    scale = {"512": 0.5, "0.5K": 0.5, "2K": 2, "4K": 4}.get(size or "", 1)
    assert pixels[0] / pixels[1] == pytest.approx(across / down, rel=0.06)
    assert pixels[0] * pixels[1] == pytest.approx((1024 * scale) ** 2, rel=0.06)


@given(
    st.sampled_from([*DIALECTS]),
    st.builds(
        Wish,
        model=st.sampled_from(["m", "gpt-image-1", "dall-e-3"]),
        aspect_ratio=st.none() | st.from_regex(r"[1-9]\d?:[1-9]\d?", fullmatch=True),
        image_size=st.none()
        | st.from_regex(r"\d{1,2}(\.\d)?K|[1-9]\d{1,3}(x[1-9]\d{1,3})?", fullmatch=True),
        seed=st.none() | st.integers(0, 99),
        n_references=st.integers(0, 2),
    ),
)
def test_every_wish_is_said_or_refused_by_its_key(dialect: str, wish: Wish) -> None:
    unsaid = unsayable(DIALECTS[dialect], wish)
    if unsaid:
        assert unsaid[0] in {"aspect_ratio", "image_size", "seed", "references"}
        with pytest.raises(Unsayable, match=re.escape(unsaid[1])):
            DIALECTS[dialect].says(wish)
    else:
        assert DIALECTS[dialect].says(wish).get("seed") == wish.seed


# References

PHOTO = Reference(source="/photos/a.png", sha256="ab" * 32)
LINK = Reference(source="https://example.com/b.png")
PARTS = [
    {"type": "image_url", "image_url": {"url": "</photos/a.png>"}},
    {"type": "image_url", "image_url": {"url": "<https://example.com/b.png>"}},
]


def test_references_come_after_the_text_and_in_their_order() -> None:
    asked = body("chat", references=(PHOTO, LINK))
    assert asked["messages"][0]["content"] == [{"type": "text", "text": "a cat"}, *PARTS]
    asked = body("openrouter-images", references=(LINK, PHOTO))
    assert asked["input_references"] == PARTS[::-1]
    asked = body("chat/vllm-omni", references=(PHOTO,))
    assert asked["messages"][0]["content"][1:] == PARTS[:1]


@given(st.text(max_size=40), st.lists(st.sampled_from([PHOTO, LINK]), max_size=4))
def test_whatever_the_prompt_only_references_stand_between_the_pieces(
    prompt: str, references: list[Reference]
) -> None:
    asked: dict[str, Any] = {"prompt": prompt, "references": tuple(references)}
    request = provider("chat").request_for(task(**asked))
    assert [one for one in request.more if isinstance(one, Reference)] == references
    content = body("chat", **asked)["messages"][0]["content"]
    assert (content[0]["text"] if references else content) == prompt


# What is read


def png(colour: str) -> bytes:
    target = io.BytesIO()
    Pillow.new("RGB", (16, 9), colour).save(target, "PNG")
    return target.getvalue()


RED, BLUE, GREY = (png(colour) for colour in ("red", "blue", "grey"))


def b64(image: bytes) -> str:
    return base64.b64encode(image).decode()


async def nothing() -> AsyncIterator[bytes]:
    for piece in list[bytes]():
        yield piece


def read(
    raw: bytes, *, step: int = 1 << 20, n: int = 1, status: int = 200
) -> tuple[Found | Failure, list[bytes]]:
    reply = Reply(status=status, headers={"x-request-id": "req-1"}, arrived_at=0, body=nothing())
    reader = provider("images").reader_of(reply, task(params={"n": n}))
    pieces: dict[int, bytes] = {}
    for at in range(0, len(raw), step):
        for number, piece in reader.feed(raw[at : at + step]):
            pieces[number] = pieces.get(number, b"") + piece
    verdict = reader.close()
    found = verdict.images if isinstance(verdict, Found) else ()
    return verdict, [pieces[image.number] for image in found]


def events(*documents: dict[str, Any]) -> bytes:
    named = (b"event: %b\ndata: %b\n\n" % (d["type"].encode(), orjson.dumps(d)) for d in documents)
    return b"".join(named) + b"data: [DONE]\n\n"


def partial(image: bytes) -> dict[str, Any]:
    return {
        "type": "image_generation.partial_image",
        "partial_image_index": 0,
        "b64_json": b64(image),
    }


def completed(image: bytes, **more: Any) -> dict[str, Any]:
    return {"type": "image_generation.completed", "b64_json": b64(image), **more}


USAGE = {"total_tokens": 9, "cost": "0.04"}
PLAIN = orjson.dumps(
    {
        "created": 1,
        "data": [
            {"b64_json": b64(RED), "media_type": "image/jpeg", "revised_prompt": "a red cat"},
            {"b64_json": b64(BLUE)},
        ],
        "usage": USAGE,
    }
)
STREAM = events(partial(GREY), partial(BLUE), completed(RED, usage=USAGE, media_type="image/png"))


@given(st.integers(1, 400))
def test_a_plain_reply_gives_its_images_wherever_it_is_split(step: int) -> None:
    verdict, images = read(PLAIN, step=step, n=2)
    assert isinstance(verdict, Found)
    assert images == [RED, BLUE]
    answer = verdict.answer
    assert (answer.text, answer.cost_usd, answer.request_id) == ("a red cat", 0.04, "req-1")
    assert answer.usage == USAGE
    assert answer.served_model == "m"
    assert answer.warnings == ("labelled image/jpeg, is image/png",)


@given(st.integers(1, 400))
def test_of_a_stream_only_the_finished_image_is_kept(step: int) -> None:
    verdict, images = read(STREAM, step=step)
    assert isinstance(verdict, Found)
    assert images == [RED]
    assert verdict.answer.cost_usd == 0.04


@pytest.mark.parametrize("n_bytes", range(0, len(STREAM), 61))
def test_a_stream_that_breaks_off_never_gives_a_preview(n_bytes: int) -> None:
    verdict, images = read(STREAM[:n_bytes])
    assert images in ([], [RED])
    assert isinstance(verdict, Found if images else Failure)


def test_fewer_images_than_asked_for_are_taken_and_remarked() -> None:
    verdict, images = read(PLAIN, n=4)
    assert isinstance(verdict, Found)
    assert len(images) == 2
    assert "4 images were asked for, 2 came" in verdict.answer.warnings


REPLIES: list[tuple[Any, int, Why]] = [
    ({"created": 1, "data": []}, 200, Why.NO_IMAGE),
    ({"created": 1}, 200, Why.NO_IMAGE),
    ({"data": [{"b64_json": ""}]}, 200, Why.BAD_IMAGE),
    ({"data": [{"b64_json": b64(RED)[:40]}]}, 200, Why.BAD_IMAGE),
    ({"data": [{"url": "https://example.com/a.png"}]}, 200, Why.NO_IMAGE),
    ({"data": None, "error": {"message": "x", "code": "moderation_blocked"}}, 400, Why.REFUSED),
    ({"error": {"message": "no", "code": "rate_limit_exceeded"}}, 429, Why.THROTTLED),
    ({"detail": "model failed"}, 500, Why.SERVER_ERROR),
]


@pytest.mark.parametrize(("document", "status", "why"), REPLIES)
def test_everything_but_an_image_has_its_reason(document: Any, status: int, why: Why) -> None:
    verdict, _ = read(orjson.dumps(document), status=status)
    assert isinstance(verdict, Failure)
    assert verdict.why is why


def test_an_error_in_a_stream_has_its_reason() -> None:
    error = {"type": "error", "error": {"message": "busy", "code": 502}}
    verdict, _ = read(events(partial(GREY), error))
    assert isinstance(verdict, Failure)
    assert verdict.why is Why.SERVER_ERROR
    assert verdict.answer.detail == "busy"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader_of_images(junk: bytes) -> None:
    assert isinstance(read(junk)[0], Failure)
    assert isinstance(read(b'{"data":[{"b64_json":' + junk)[0], Failure)


def test_what_was_never_sent_was_never_billed() -> None:
    failure = provider("images").failure_of(Broken(Break.REFUSED))
    assert (failure.why, failure.is_maybe_billed) == (Why.UNREACHABLE, False)
