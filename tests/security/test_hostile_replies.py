"""What a hostile API can put into the bytes of one reply: it costs little, and is cut to size.

Where the work would grow with the square of the bytes, a test would not end within its minute.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import orjson
import pytest

from pipeline.core.model import Answer, Failure, Reply, Secret, Task, Why
from pipeline.core.ports import Found
from pipeline.provider.chat import Chat
from pipeline.provider.images import Images
from pipeline.provider.mend import mended
from pipeline.provider.reader import MOST_IMAGES, MOST_TEXT_BYTES
from pipeline.provider.redaction import LONGEST_DETAIL, LONGEST_NAME
from pipeline.store.record import line_of

pytestmark = pytest.mark.timeout(60)

KEY = Secret("sk-hostile-0123456789abcdef")
TASK = Task(id="0" * 20, index=0, sample=0, prompt="a cat on a mat", model="some/model")


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(number: int = 0) -> bytes:
    """One of many small pictures, each of its own bytes."""
    header = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes([0, *number.to_bytes(4, "big")]) * 4)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def url_of(number: int = 0) -> str:
    return "data:image/png;base64," + base64.b64encode(png(number)).decode()


def with_image(text: str = "here", **more: Any) -> bytes:
    image = {"type": "image_url", "image_url": {"url": url_of()}}
    said = {"choices": [{"message": {"content": text, "images": [image]}}], **more}
    return json.dumps(said).encode()


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def chat() -> Chat:
    return Chat(is_streamed=False, mask=KEY.masked_in)


def read(
    body: bytes, *, status: int = 200, by: Any = None, headers: dict[str, str] | None = None
) -> tuple[Found | Failure, dict[int, bytes]]:
    """The verdict, and the bytes of each image that were handed out."""
    reply = Reply(status=status, headers=headers or {}, arrived_at=0.0, body=None)  # type: ignore[arg-type]
    reader = (by or chat()).reader_of(reply, TASK)
    pieces: dict[int, bytes] = {}
    for at in range(0, len(body), 65_536):
        for number, piece in reader.feed(body[at : at + 65_536]):
            pieces[number] = pieces.get(number, b"") + piece
        assert len(reader.request_id or "") <= LONGEST_NAME
    return reader.close(), pieces


def answer_to(body: bytes, **how: Any) -> Answer:
    answer = read(body, **how)[0].answer
    assert len(line_of({"answer": [answer.text, answer.detail, answer.usage]})) < 100_000
    return answer


@pytest.mark.parametrize("dialect", ["chat", "images"])
def test_of_very_many_images_the_first_hundred_are_taken(dialect: str) -> None:
    n = 5_000
    if dialect == "chat":
        images = [{"image_url": {"url": url_of(number)}} for number in range(n)]
        verdict, pieces = read(json.dumps({"choices": [{"message": {"images": images}}]}).encode())
    else:
        entries = [{"b64_json": base64.b64encode(png(number)).decode()} for number in range(n)]
        by = Images(dialect="images", is_streamed=False, mask=KEY.masked_in)
        verdict, pieces = read(json.dumps({"data": entries}).encode(), by=by)
    assert isinstance(verdict, Found)
    assert len(pieces) == len(verdict.images) == MOST_IMAGES
    assert pieces[7] == png(7)


def test_very_many_events_are_read_as_they_come() -> None:
    event = b'data: {"choices":[{"delta":{"content":"words "}}]}\n\n'
    answer = answer_to(event * 20_000)
    assert len(answer.text or "") < 64_000


@pytest.mark.parametrize("line", [b"data:\n", b"data: x\n", b"\n", b": ping\n\n", b"x"])
def test_an_event_that_never_ends_is_not_kept(line: bytes) -> None:
    verdict, _ = read(line * (MOST_TEXT_BYTES // len(line) + 9))
    assert isinstance(verdict, Failure)
    assert verdict.why is Why.BAD_REPLY


@pytest.mark.parametrize(
    "piece", ["\\n", "data:", "![", "[", "base64,A ", "base64,A\\n", "%2", '\\"', "data:;;;;,"]
)
def test_text_of_one_piece_repeated_is_read_in_one_go(piece: str) -> None:
    body = with_image(text="@").replace(b"@", piece.encode() * 50_000)
    verdict, pieces = read(body)
    is_behind_too_many_runs = piece.startswith("base64,")
    assert is_behind_too_many_runs or isinstance(verdict, Found)
    assert is_behind_too_many_runs or png() in pieces.values()
    assert len(verdict.answer.text or "") <= 64_000


@pytest.mark.parametrize("word", ["model:", "cannot ", "data:", "key ", "violat against "])
def test_a_message_of_one_word_repeated_is_judged_at_once(word: str) -> None:
    body = json.dumps({"error": {"code": 400, "message": word * 100_000}}).encode()
    assert len(answer_to(body, status=400).detail or "") <= LONGEST_DETAIL


@pytest.mark.parametrize("depth", [63, 300, 600, 1_000, 1_500, 100_000])
@pytest.mark.parametrize(
    "body",
    [
        '{"usage":{"a":%s},"choices":[{"message":{"images":[{"url":"%s"}]}}]}',
        '{"choices":[{"message":{"images":[{"url":"%s"}]}}],"usage":%s}',
        '{"detail":{"x":%s}}',
        '{"error":{"message":"no","metadata":{"headers":{"x":%s},"raw":%s}}}',
        '{"error":{"message":"no","availability":{"retryable":false,"fallback_models":[%s]}}}',
        '{"choices":%s}',
        "%s",
    ],
)
def test_no_depth_of_json_breaks_the_reader(body: str, depth: int) -> None:
    values = [url_of() if gap == '"%s"' else nested(depth) for gap in _gaps_in(body)]
    verdict, _ = read((body % tuple(values)).encode())
    assert isinstance(verdict, Found | Failure)
    line_of({"usage": verdict.answer.usage})


def _gaps_in(body: str) -> list[str]:
    return ['"%s"' if body[at - 1 : at + 3] == '"%s"' else "%s" for at in _places_of(body)]


def _places_of(body: str) -> list[int]:
    return [at for at in range(len(body)) if body.startswith("%s", at)]


def test_a_document_of_brackets_that_broke_off_is_mended_in_one_go() -> None:
    assert mended(b'{"a":1,' + b'"b":[' * 200_000 + b"]" * 100_000) is not None


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "Infinity"])
def test_a_number_that_is_none_costs_no_image(number: str) -> None:
    body = with_image(usage={"cost": 0.1, "x": "@"}).replace(b'"@"', number.encode())
    verdict, _ = read(body)
    assert isinstance(verdict, Found)
    assert verdict.answer.usage == {"cost": 0.1, "x": None}


@pytest.mark.parametrize("number", ["1e400", "9" * 400, "-1", "9" * 5_000, '"1e400"', '"nan"'])
def test_no_cost_is_made_of_a_number_beyond_bounds(number: str) -> None:
    body = with_image(usage={"cost": "@"}).replace(b'"@"', number.encode())
    verdict, _ = read(body)
    assert verdict.answer.cost_usd is None


def test_lone_surrogates_are_written_as_what_they_are_not() -> None:
    body = rb'{"id":"\ud800","error":{"message":"\udc00x\ud83d","code":400}}'
    answer = answer_to(body, status=400)
    assert (answer.detail, answer.request_id) == ("\ufffdx\ufffd", "\ufffd")
    orjson.dumps([answer.detail, answer.request_id])


@pytest.mark.parametrize("digits", ["9" * 5_000, "9" * 100, "\u0663" * 5_000, "7"])
def test_a_reply_cannot_forge_a_reference_to_an_image(digits: str) -> None:
    verdict, _ = read(with_image(text=f"\x00run:{digits}\x00"))
    assert isinstance(verdict, Found)
    assert len(verdict.images) == 1


def test_names_and_ids_are_one_line_that_can_be_shown() -> None:
    nasty = "\x1b[2J\r\nmade 999\u202e\x9b" + "x" * 1_000_000
    answer = answer_to(with_image(id=nasty, model=nasty))
    for told in (answer.request_id, answer.served_model):
        assert told
        assert told.isprintable()
        assert len(told) <= LONGEST_NAME


def test_an_id_in_a_header_is_no_exception() -> None:
    answer = answer_to(
        with_image(), headers={"x-generation-id": "data:x;base64,\x1b" + "q" * 9_999}
    )
    assert answer.request_id
    assert ";base64," not in answer.request_id
    assert answer.request_id.isprintable()


def test_of_more_than_anybody_counts_the_numbers_are_kept() -> None:
    usage = {"cost": 0.25, "tale": "x " * 100_000, **{f"k{n}": n for n in range(10_000)}}
    answer = answer_to(with_image(usage=usage))
    assert answer.cost_usd == 0.25
    assert answer.usage["cost"] == 0.25
    assert len(answer.usage) == 64


def test_warnings_are_cut_like_any_message() -> None:
    answer = answer_to(with_image(error={"message": "no " * 100_000}))
    assert answer.warnings
    assert max(map(len, answer.warnings)) <= LONGEST_DETAIL


def test_reasons_and_alternatives_are_few_and_short() -> None:
    reasons = [{"finish_reason": f"{number} " * 99} for number in range(50_000)]
    assert len(answer_to(json.dumps({"choices": reasons}).encode()).detail or "") <= LONGEST_DETAIL
    error = {
        "message": "no",
        "availability": {"retryable": False, "fallback_models": ["m " * 999] * 999},
    }
    verdict, _ = read(json.dumps({"error": error}).encode(), status=404)
    assert isinstance(verdict, Failure)
    assert len(str(verdict.stop)) < 1_500


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": f"no such key: {KEY.reveal()}", "code": 401}},
        {
            "error": {
                "message": "no",
                "availability": {"fallback_models": [KEY.reveal()], "retryable": False},
            }
        },
        {"error": {"message": "A" * 3_990 + KEY.reveal(), "code": 400}},
        {"choices": [{"message": {"content": "x " * 31_990 + KEY.reveal()}}]},
        {"choices": [{"message": {"images": [{"url": f"https://{KEY.reveal()}.example/x"}]}}]},
        {"choices": [{"finish_reason": KEY.reveal()}]},
        {
            "id": "i" * 190 + KEY.reveal(),
            "model": KEY.reveal(),
            "usage": {KEY.reveal(): KEY.reveal()},
        },
    ],
)
@pytest.mark.parametrize("status", [200, 404])
def test_wherever_a_reply_echoes_the_key_it_is_masked(body: dict[str, Any], status: int) -> None:
    by = Chat(is_streamed=False, mask=KEY.masked_in)
    verdict, _ = read(json.dumps(body).encode(), status=status, by=by)
    told = repr((verdict, getattr(verdict, "stop", None)))
    assert KEY.reveal()[:10] not in told


def test_no_mark_of_base64_gets_into_a_record() -> None:
    marked = "data:image/png;base64,QUJD"
    body = with_image(text=f"see {marked}", id=marked, model=marked, usage={marked: marked})
    for told in (body, json.dumps({"error": {"message": marked, "code": marked}}).encode()):
        verdict, _ = read(told)
        assert ";base64," not in repr(verdict)
