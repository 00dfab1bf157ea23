"""Cases 1 to 40 of the wire: what success looks like, plain and streamed."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import orjson
from harness import Case, Seen, Then
from replies import (
    AVIF,
    CAT,
    CAT_SIGNED,
    DOG,
    DONE,
    END,
    GIF,
    JPEG,
    ODD,
    SVG,
    USAGE,
    WEBP,
    b64,
    data_url,
    delta,
    events,
    images,
    large,
    pictured,
    plain,
    reply,
    shown,
    streamed,
)
from scripted import Script

from pipeline.core.model import Why

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripted import Peer

ONE_CAT = Then(images=(CAT,), extensions=("png",), n_requests=1, warnings=(), text="")
LINKS = {"remote_images": True}
ONCE = {"retry": {"attempts": 1}}
STREAM = {"stream": True}
WE = {
    10: "take the image, and what stands behind it as text",
    12: "take the image: the same bytes",
    13: "take the image, name it by its bytes, warn",
    25: "take the image, with a warning",
}


def one(arrives: str, number: int, *scripts: Script, then: Then = ONE_CAT, **more: Any) -> Case:
    more.setdefault("we", WE.get(number, "take the image"))
    return Case(number=number, arrives=arrives, scripts=scripts, then=then, **more)


def shape(number: int, arrives: str, document: Any, variant: str = "", **then: Any) -> Case:
    """A JSON reply from which one image, of a cat if nothing else is said, is taken."""
    wanted: dict[str, Any] = {"images": (CAT,), "n_requests": 1, "warnings": ()} | then
    return one(arrives, number, plain(document), then=Then(**wanted), variant=variant)


def stream(number: int, arrives: str, *documents: Any, **more: Any) -> Case:
    piece = more.pop("piece", 1 << 20)
    more.setdefault("profile", STREAM)
    return one(arrives, number, streamed(*documents, piece=piece), **more)


def retried(number: int, arrives: str, first: Script, **more: Any) -> Case:
    """What brings no image is asked for again."""
    more.setdefault("then", Then(images=(CAT,), attempts=2, n_requests=2))
    return one(arrives, number, first, plain(pictured(CAT)), we="try again", **more)


def failed(number: int, arrives: str, *scripts: Script, we: str, **more: Any) -> Case:
    return one(arrives, number, *scripts, we=we, then=Then(**more.pop("then")), **more)


def at_home(document: Callable[[str], Any]) -> Script:
    """A JSON reply that holds the server's own address."""

    async def step(peer: Peer) -> None:
        host, port = peer.writer.get_extra_info("sockname")
        body = orjson.dumps(document(f"http://{host}:{port}"))
        await peer.write(b"%x\r\n%b\r\n" % (len(body), body))

    return Script().stream(content_type="application/json").do(step).last_chunk()


def shows_no_key(seen: Seen) -> None:
    assert [one.method for one in seen.requests] == ["POST", "GET"]
    assert "authorization" in seen.requests[0].headers
    assert "authorization" not in seen.requests[1].headers
    assert "sk-" not in seen.requests[1].raw.decode()


def is_bounded(seen: Seen) -> None:
    (image,) = seen.line["images"]
    assert image["bytes"] > 30_000_000
    assert len(seen.files[image["file"]]) == image["bytes"]
    assert seen.peak_bytes < 6_000_000
    assert seen.longest_step_s < 0.1  # the aim is 0.02


def is_one_of_5_mb(seen: Seen) -> None:
    (image,) = seen.line["images"]
    assert image["bytes"] > 3_750_000


def is_hung_up_on(seen: Seen) -> None:
    assert seen.n_open == 0
    assert seen.line["images"] == []


def wrapped(text: str, width: int = 76) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


TWO = Then(images=(CAT, DOG), extensions=("png", "png"), n_requests=1, warnings=())
MARKDOWN = f"Here:\n![image]({data_url()})\n![image]({data_url(DOG)})\nEnjoy"
URL_SAFE = b64(CAT).replace("+", "-").replace("/", "_")
PARTS = [{"type": "text", "text": "A cat."}, *images(data_url())]
LINKED = plain(reply(content="", images=images("/v1/images/7/content?variant=0")))
CAT_FILE = Script.whole(CAT, content_type="image/png")
PADDED = b" \n\n \n" + orjson.dumps(pictured(CAT))
COMMENTS = b": OPENROUTER PROCESSING\n\n: ping\n\nevent: message\nid: 7\nretry: 10\n"
MULTI_LINE = b'data: {"choices":\ndata: [{"delta":\ndata: %b}]}\n\n' % orjson.dumps(
    {"images": images(data_url())}
)
TORN = {"error": {"code": 502, "message": "upstream reset"}}
BAD_GATEWAY = delta("error", content="") | TORN
POLICY = {"code": 400, "message": "no", "metadata": {"error_type": "content_policy_violation"}}
IN_IMAGES = {"dialect": "images"}
PREVIEWED: list[dict[str, Any]] = [
    {"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": b64(DOG)},
    {"type": "image_generation.partial_image", "partial_image_index": 1, "b64_json": b64(JPEG)},
    {"type": "image_generation.completed", "b64_json": b64(CAT), "media_type": "image/png"},
]

SUCCESS = [
    shape(1, "an images list with a data URL", pictured(CAT), extensions=("png",), text=""),
    one("two images", 2, plain(pictured(CAT, DOG)), then=TWO, we="keep both, in their order"),
    shape(3, "content as a list of parts", reply(content=PARTS), text="A cat."),
    one(
        "data URLs in Markdown",
        4,
        plain(reply(content=MARKDOWN)),
        then=Then(images=(CAT, DOG), text="Here:\n\n\nEnjoy"),
        we="keep both, and the text without base64",
    ),
    shape(5, "image_url as a string", reply(images=[{"image_url": data_url()}])),
    shape(
        6,
        "no type, an index and a detail",
        reply(images=[{"index": 0, "image_url": {"url": data_url(), "detail": "auto"}}]),
    ),
    shape(7, "bare base64 under image", reply(content="", image=[{"data": b64(CAT)}])),
    shape(8, "a choice without a message", {"choices": [{"role": "x", "content": data_url()}]}),
    *(
        shape(9, "a data URL in an odd form", pictured() | reply(images=images(url)), variant)
        for variant, url in {
            "with a parameter": data_url(head="data:image/png;charset=binary;base64,"),
            "in upper case": data_url(head="DATA:IMAGE/PNG;BASE64,"),
            "without a type": data_url(head="data:;base64,"),
        }.items()
    ),
    shape(
        10, "base64 in lines", reply(images=images(f"data:image/png;base64,{wrapped(b64(CAT))}"))
    ),
    shape(
        10,
        "base64 in lines",
        reply(content=f"{data_url()}\nHere is your picture"),
        "or prose behind it",
        text="Here is your picture",
    ),
    shape(
        11,
        "base64 without padding",
        reply(images=images(data_url(ODD).rstrip("="))),
        images=(ODD,),
    ),
    shape(12, "the URL-safe alphabet", reply(images=images(f"data:image/png;base64,{URL_SAFE}"))),
    *(
        shape(
            13,
            "another type than its label says",
            reply(images=images(data_url(image))),
            extension,
            images=(image,),
            extensions=(extension,),
            warnings=(f"labelled image/png, is image/{kind}",),
        )
        for image, extension, kind in ((JPEG, "jpg", "jpeg"), (WEBP, "webp", "webp"))
    ),
    one("the same image twice", 14, plain(pictured(CAT, CAT)), we="keep it once"),
    one(
        "the same pixels with other metadata",
        15,
        plain(pictured(CAT, CAT_SIGNED)),
        then=Then(images=(CAT_SIGNED,)),
        job={"keep": "last"},
        we="keep what `keep:` says: `last` keeps one",
    ),
    shape(
        16,
        "AVIF or GIF",
        reply(images=images(data_url(AVIF, "data:image/avif;base64,"))),
        "avif",
        images=(AVIF,),
        extensions=("avif",),
    ),
    shape(
        16,
        "AVIF or GIF",
        reply(images=images(data_url(GIF, "data:image/gif;base64,"))),
        "gif",
        images=(GIF,),
        extensions=("gif",),
    ),
    one(
        "SVG where it is welcome",
        16,
        plain(reply(images=images(data_url(SVG, "data:image/svg+xml;base64,")))),
        then=Then(images=(SVG,), extensions=("svg",), warnings=()),
        profile={"svg": True},
        we="take it where the profile says `svg: true`",
    ),
    failed(
        16,
        "SVG",
        plain(reply(images=images(data_url(SVG, "data:image/svg+xml;base64,")))),
        then={"why": Why.BAD_IMAGE, "detail": "svg: true"},
        job=ONCE,
        we="fail with `bad_image`: it is text",
    ),
    one("blank lines before the JSON", 17, plain(PADDED), we="wait for the first other byte"),
    one("JSON labelled as text", 18, plain(pictured(CAT), content_type="text/plain")),
    one("JSON without a label", 18, Script.whole(orjson.dumps(pictured(CAT)))),
    one(
        "gzip though identity was asked",
        19,
        plain(gzip.compress(orjson.dumps(pictured(CAT))), content_encoding="gzip"),
        we="take the image; the cap counts decompressed bytes",
    ),
    one(
        "a body of 40 MB",
        20,
        large(
            b'{"choices":[{"message":{"images":[{"image_url":{"url":"data:image/png;base64,',
            3_200,
            b'"}}]}}]}',
        ),
        then=Then(n_requests=1, warnings=(), also=is_bounded),
        measures_memory=True,
        we="take it in pieces: memory stays small, nothing waits",
    ),
    failed(
        21,
        "a body over the cap",
        Script().stream().send(b'40000\r\n{"x":"' + b"A" * 262_138 + b"\r\n").hang(),
        we="hang up and fail with `too_large`, once",
        then={"why": Why.TOO_LARGE, "n_requests": 1, "also": is_hung_up_on},
        profile={"max_body": 65_536},
    ),
    *(
        one(
            "a link instead of an image",
            22,
            first,
            CAT_FILE,
            then=Then(images=(CAT,), n_requests=2, warnings=(), also=shows_no_key),
            profile=LINKS,
            variant=variant,
            we="fetch it where the profile says `remote_images: true`, without the key",
        )
        for variant, first in {
            "relative": LINKED,
            "absolute": at_home(lambda home: reply(images=images(f"{home}/img/7.png"))),
            "in Markdown": at_home(lambda home: reply(content=f"Look: ![it]({home}/7.png)")),
        }.items()
    ),
    failed(
        22,
        "a link that is not welcome",
        LINKED,
        then={"why": Why.NO_IMAGE, "detail": "remote_images: true", "n_requests": 1},
        job=ONCE,
        we="fail with `no_image` and say what would follow it",
    ),
    *(
        failed(
            22,
            "a link to where nobody should go",
            plain(reply(images=images(url))),
            then={"why": Why.BAD_IMAGE, "detail": said, "n_requests": 1},
            job=ONCE,
            profile=LINKS,
            variant=variant,
            we="fail with `bad_image`: https and public addresses only",
        )
        for variant, url, said in (
            ("over http", "http://93.184.215.14/cat.png", "https"),
            ("on this machine", "https://127.0.0.1:9/cat.png", "not a public address"),
            ("by name", "https://localhost:9/cat.png", "not a public address"),
            ("mapped", "https://[::ffff:10.0.0.1]/cat.png", "not a public address"),
        )
    ),
    *(
        failed(
            22,
            "a link with something else behind it",
            LINKED,
            there,
            then={"why": Why.BAD_IMAGE, "detail": said},
            job=ONCE,
            profile=LINKS | {"max_body": 65_536},
            variant=variant,
            we="fail with `bad_image`",
        )
        for variant, there, said in (
            ("a redirect", Script.whole(b"", 302, location="https://example.com/"), "redirect"),
            ("nothing", Script.whole(b"gone", 404), "HTTP 404"),
            ("a page", Script.whole(b"<html>" + b"x" * 99), "not an image"),
            ("half", Script.whole(CAT[:-20]), "cut off"),
            ("too much", Script.whole(CAT + bytes(70_000)), "max_body"),
        )
    ),
    one(
        "fewer images than were asked for",
        23,
        plain({"created": 1, "data": [{"b64_json": b64(CAT)}, {"b64_json": b64(DOG)}]}),
        then=Then(images=(CAT, DOG), warnings=("4 images were asked for, 2 came",)),
        profile=IN_IMAGES | {"params": {"n": 4}},
        we="keep them, with a warning",
    ),
    shape(24, "no finish reason", pictured(CAT, finish=None)),
    *(
        shape(
            25,
            "a finish that cut the reply short",
            pictured(CAT, finish=word),
            word,
            warnings=(said,),
        )
        for word, said in (("length", "length limit"), ("content_filter", "content filter"))
    ),
]

STREAMS = [
    one(
        "one data line of 5 MB",
        26,
        large(
            b'data: {"choices":[{"delta":{"images":[{"image_url":{"url":"data:image/png;base64,',
            1_120,
            b'"}}]}}]}\n\n' + DONE,
        ),
        then=Then(n_requests=1, also=is_one_of_5_mb),
        profile=STREAM,
    ),
    *(
        stream(
            27,
            "lines split anywhere",
            delta(content="Ein schönes Bild 🐈"),
            shown(CAT),
            END,
            DONE,
            piece=piece,
            variant=f"every {piece}",
            we="read on",
            then=Then(images=(CAT,), text="Ein schönes Bild 🐈"),
        )
        for piece in (1, 7, 100)
    ),
    one(
        "lines ended by CR LF",
        27,
        Script.chunked(
            *events(shown(CAT), END, DONE).replace(b"\n", b"\r\n").partition(b"\r"),
            content_type="text/event-stream",
        ),
        profile=STREAM,
        we="read on",
    ),
    stream(
        28,
        "comments, fields, no space, several data lines",
        COMMENTS,
        MULTI_LINE,
        b"data:" + orjson.dumps(END) + b"\n\n",
        DONE,
        we="read on",
    ),
    stream(
        29,
        "usage in a last event without choices",
        shown(CAT),
        END,
        USAGE,
        DONE,
        we="keep the usage and the cost",
        then=Then(images=(CAT,), also=lambda seen: is_charged(seen, 0.04)),
    ),
    stream(30, "no [DONE]", shown(CAT), END),
    retried(31, "an end before any image", streamed(delta(content="One mo")), profile=STREAM),
    stream(
        32,
        "an error behind a whole image",
        shown(CAT),
        BAD_GATEWAY,
        we="keep the image, with a warning",
        then=Then(images=(CAT,), warnings=("upstream reset",), n_requests=1),
    ),
    one(
        "a break behind a whole image",
        32,
        Script().stream(content_type="text/event-stream").chunk(events(shown(CAT))).reset(),
        profile=STREAM,
        we="keep the image, with a warning",
        then=Then(images=(CAT,), warnings=("broke off behind the image",), n_requests=1),
    ),
    one(
        "JSON that breaks off behind a whole image",
        32,
        Script().head(content_length=9_999).send(orjson.dumps(pictured(CAT))[:-60]).close(),
        we="keep the image, with a warning",
        then=Then(images=(CAT,), warnings=("broke off behind the image",), n_requests=1),
    ),
    retried(
        32,
        "an error inside an image",
        streamed(events(shown(CAT))[:-90] + b"\n\n", BAD_GATEWAY),
        profile=STREAM,
    ),
    *(
        retried(
            33,
            "an error event",
            streamed(delta("error", content="") | {"error": error}),
            profile=STREAM,
            variant=str(error["code"]),
        )
        for error in (
            {"code": 429, "message": "slow down"},
            {"code": 502, "message": "x"},
            {"code": "server_error", "message": "x"},
        )
    ),
    failed(
        34,
        "an error event about content",
        streamed(delta("error") | {"error": POLICY}),
        we="fail with `refused`, once",
        then={"why": Why.REFUSED, "n_requests": 1},
        profile=STREAM,
    ),
    one(
        "keep-alives for long, then the image",
        35,
        Script()
        .stream(content_type="text/event-stream")
        .drip(b": ping\n\n", times=6, every_s=0.25)
        .chunk(events(shown(CAT), END, DONE))
        .last_chunk(),
        profile=STREAM,
        job={"timeouts": {"idle": 1.0}},
        we="wait: every byte counts as a sign of life",
    ),
    failed(
        36,
        "keep-alives for ever",
        Script()
        .stream(content_type="text/event-stream")
        .drip(b": ping\n\n", times=400, every_s=0.1),
        we="give up at `timeouts.total`",
        then={"why": Why.LOST, "detail": "whole exchange took too long"},
        job={"timeouts": {"total": 0.8}, "retry": {"lost": 1}},
        profile=STREAM,
    ),
    one("JSON where a stream was asked", 37, plain(pictured(CAT)), profile=STREAM),
    stream(
        38,
        "previews before the image",
        *PREVIEWED,
        DONE,
        we="keep the last alone",
        then=Then(images=(CAT,), n_requests=1),
        profile=STREAM | {"dialect": "openrouter-images"},
    ),
    stream(
        39, "the same image in two events", shown(CAT), shown(CAT), END, DONE, we="keep it once"
    ),
    stream(
        40,
        "a line of garbage between events",
        shown(CAT),
        b"data: {oops\n\n",
        END,
        DONE,
        we="read on and count it",
        then=Then(images=(CAT,), warnings=("1 of the reply's events",)),
    ),
]

CASES = [*SUCCESS, *STREAMS]


def is_charged(seen: Seen, cost_usd: float) -> None:
    assert seen.line["cost_usd"] == cost_usd
    assert json.loads(json.dumps(seen.line["usage"]))["completion_tokens"] == 1120
