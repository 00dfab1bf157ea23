"""Jobs in every dialect, and pictures made from pictures: the command, from end to end."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from commands import check_whole, newest
from openai import AsyncOpenAI, BadRequestError
from PIL import Image

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from pathlib import Path

    from commands import Desk, Ended, Serving

INSTANT = Simulation(latency_s=0, image_size="64x64", cost_usd=0.04)
DIALECTS = ("chat", "images", "openrouter-images")


def faulty(fault: str, **how: Any) -> Simulation:
    rule = FaultRule(fault=fault, **how)
    return Simulation(latency_s=0, image_size="64x64", rules=(rule,), retry_after_s=0)


def picture(folder: Path, name: str, kind: str = "PNG") -> str:
    """The SHA-256 of a new picture."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((32, 32), 90).convert("RGB").save(path, kind)
    return sha256(path.read_bytes()).hexdigest()


def run(desk: Desk, base_url: str, job: str, *words: str, dialect: str = "chat") -> Ended:
    desk.provider(base_url, f"dialect: {dialect}\n")
    desk.write("job.yaml", f"provider: ./there.yaml\noutput: {{dir: out}}\n{job}")
    return desk.run("run", "job.yaml", *words)


def sizes(desk: Desk) -> list[tuple[int, int]]:
    records = sorted(newest(desk.out).values(), key=lambda record: record["index"])
    return [(image["width"], image["height"]) for record in records for image in record["images"]]


@pytest.mark.parametrize("stream", ["false", "true"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_job_is_made_in_every_dialect(
    desk: Desk, provider: Serving, dialect: str, stream: str
) -> None:
    job = (
        "prompts: [a fox, {prompt: a whale, aspect_ratio: '16:9'}]\n"
        f"seed: 7\nsamples: 2\nparams: {{stream: {stream}}}\n"
    )
    with provider(INSTANT) as there:
        ended = run(desk, there.base_url, job, dialect=dialect)
        again = run(desk, there.base_url, job, dialect=dialect)
        assert there.bill() == there.bill() | {"requests": 4, "billed": 4}
    assert (ended.code, again.code) == (0, 0)
    check_whole(desk.out)
    assert sizes(desk)[0] == (64, 64)
    assert all(width > height for width, height in sizes(desk)[2:])
    assert {record["seed"] for record in desk.lines} == {7, 8}
    assert {record["cost_usd"] for record in desk.lines} == {0.04}
    assert len({record["images"][0]["sha256"] for record in desk.lines}) == 4


ENDS: dict[str, tuple[int, list[str | None]]] = {
    "server_error": (0, [None]),
    "cut": (0, [None]),
    "cut_image": (0, [None]),
    "refused": (3, ["refused"]),
    "text_only": (3, ["no_image"]),
    "unauthorized": (77, []),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ENDS)
def test_faults_are_met_alike_in_every_dialect(
    desk: Desk, provider: Serving, dialect: str, fault: str
) -> None:
    code, whys = ENDS[fault]
    once = {"attempt": 1} if code == 0 else {}
    with provider(faulty(fault, **once)) as there:
        job = "prompts: [a fox]\nretry: {max_wait: 0.01}\n"
        ended = run(desk, there.base_url, job, dialect=dialect)
    assert ended.code == code, ended.err
    assert [record["why"] for record in desk.lines] == whys


def test_two_images_of_four_are_a_success_with_a_warning(desk: Desk, provider: Serving) -> None:
    with provider(INSTANT) as there:
        run(desk, there.base_url, "prompts: [a fox]\nparams: {n: 2}\n", dialect="images")
        (record,) = desk.lines
        assert len(record["images"]) == 2
        assert record["warnings"] == []
        job = "prompts: [a fox]\nparams: {n: 4, m: 1}\n"
        run(desk, there.base_url, job, "--out", "chat", dialect="chat")
        assert [len(one["images"]) for one in newest(desk.folder / "chat").values()] == [1]


@pytest.mark.parametrize(
    ("job", "dialect", "at"),
    [
        ("prompts: [a]\naspect_ratio: '5:7'\n", "images", "job.yaml:4:1: aspect_ratio"),
        ("prompts:\n  - a\n  - {prompt: b, aspect_ratio: '5:7'}\n", "images",
         "job.yaml:5:0: aspect_ratio"),
        ("prompts: [a]\nmatrix:\n  image_size: [1K, 0.5K]\n", "openrouter-images",
         "job.yaml:5:3: matrix.image_size"),
        ("prompts: [a, b]\nmodel: gpt-image-1\nseed: 1\n", "images", "job.yaml:5:1: seed"),
        ("prompts: [a]\nreferences: [x.png]\n", "images", "job.yaml:4:14: references.0"),
        ("prompts: [a]\nreferences: ['https://example.com/x.png']\n", "images",
         "job.yaml:4:1: references"),
    ],
)  # fmt: skip
def test_what_a_dialect_cannot_say_is_65_at_its_line_and_nothing_is_sent(
    desk: Desk, provider: Serving, job: str, dialect: str, at: str
) -> None:
    with provider(INSTANT) as there:
        ended = run(desk, there.base_url, job, dialect=dialect)
        assert there.bill()["requests"] == 0
    assert ended.code == 65
    assert at.replace(":0:", ":") in ended.err.splitlines()[0], ended.err
    assert "1 fault;" in ended.err
    assert not desk.out.exists()


def test_the_shipped_profile_of_openai_plans_its_own_model(desk: Desk) -> None:
    desk.write("job.yaml", "provider: openai-images\nprompts: [a fox]\naspect_ratio: '3:2'\n")
    assert desk.run("plan", "job.yaml").code == 0
    assert desk.run("plan", "job.yaml", "--set", "seed=1").code == 65


# References


JOB = """
prompts:
  - {prompt: in oil, photo: cat.png}
  - {prompt: in ink, photo: dog.png}
  - {prompt: together, references: ["https://example.com/x.png", photos/dog.png, photos/cat.png]}
references: ["photos/{{photo}}"]
"""


@pytest.mark.parametrize("dialect", ["chat", "openrouter-images"])
def test_pictures_are_made_from_pictures(desk: Desk, provider: Serving, dialect: str) -> None:
    cat = picture(desk.folder, "photos/cat.png")
    dog = picture(desk.folder, "photos/dog.png", "JPEG")  # its name lies, its label must not
    with provider(INSTANT) as there:
        ended = run(desk, there.base_url, JOB, dialect=dialect)
        again = run(desk, there.base_url, JOB, dialect=dialect)
        assert there.bill()["requests"] == 3
    assert (ended.code, again.code) == (0, 0), ended.err
    check_whole(desk.out)
    named = {record["prompt"]: record["references"] for record in desk.lines}
    photos = desk.folder / "photos"
    of_cat = {"path": str(photos / "cat.png"), "sha256": cat}
    of_dog = {"path": str(photos / "dog.png"), "sha256": dog}
    link = {"url": "https://example.com/x.png", "sha256": None}
    assert named == {"in oil": [of_cat], "in ink": [of_dog], "together": [link, of_dog, of_cat]}
    for file in desk.out.rglob("*"):
        assert not file.is_file() or b";base64," not in file.read_bytes()


def test_a_task_is_known_by_what_its_picture_holds(desk: Desk, provider: Serving) -> None:
    job = "prompts: [in oil, {prompt: in ink, references: []}]\nreferences: [a.png]\n"
    picture(desk.folder, "a.png")
    with provider(INSTANT) as there:
        run(desk, there.base_url, job)
        (desk.folder / "b.png").write_bytes((desk.folder / "a.png").read_bytes())
        moved = job.replace("a.png", "b.png")
        assert run(desk, there.base_url, moved).code == 0
        assert there.bill()["requests"] == 2
        picture(desk.folder, "b.png")
        assert run(desk, there.base_url, moved).code == 0
        assert there.bill()["requests"] == 3
    assert desk.lines[-1]["prompt"] == "in oil"


def test_an_axis_of_references_multiplies(desk: Desk, provider: Serving) -> None:
    for name in "ab":
        picture(desk.folder, f"{name}.png")
    job = "prompts: [in oil]\nmatrix:\n  references: [a.png, [a.png, b.png], []]\n"
    with provider(INSTANT) as there:
        assert run(desk, there.base_url, job).code == 0
    counts = [len(record["references"]) for record in desk.lines]
    assert sorted(counts) == [0, 1, 2]


ROWS = {
    "p.csv": """\
prompt,photo,references
in oil,a,
in ink,b,b.png
both,,"[""a.png"",""b.png""]"
""",
    "p.jsonl": """\
{"prompt": "in oil", "photo": "a"}
{"prompt": "in ink", "references": "b.png"}
{"prompt": "both", "references": ["a.png", "b.png"]}
""",
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_a_file_name_their_pictures(desk: Desk, provider: Serving, name: str) -> None:
    for letter in "ab":
        picture(desk.folder, f"{letter}.png")
    desk.write(f"rows/{name}", ROWS[name])
    job = f"prompts: {{file: rows/{name}}}\nreferences: ['{{{{photo}}}}.png']\n"
    with provider(INSTANT) as there:
        ended = run(desk, there.base_url, job)
    assert ended.code == 0, ended.err
    names = {
        record["prompt"]: [one["path"][-5:] for one in record["references"]]
        for record in desk.lines
    }
    assert names == {"in oil": ["a.png"], "in ink": ["b.png"], "both": ["a.png", "b.png"]}


def test_pictures_that_cannot_be_sent_are_65_at_their_rows(desk: Desk, provider: Serving) -> None:
    picture(desk.folder, "photos/a.png")
    desk.write("photos/words.png", "no picture at all")
    desk.write("p.csv", "prompt,photo\none,a.png\ntwo,gone.png\nthree,words.png\nfour,\n")
    job = "prompts: {file: p.csv}\nreferences: ['photos/{{photo}}']\n"
    with provider(INSTANT) as there:
        ended = run(desk, there.base_url, job)
        assert there.bill()["requests"] == 0
    assert ended.code == 65
    two, three, four, total = ended.err.splitlines()[:4]
    assert "p.csv:3: references: photos/gone.png: cannot be read" in two
    assert "p.csv:4: references: photos/words.png: is no image" in three
    assert "p.csv:5: references: photos/: is not a file" in four
    assert total.startswith("3 faults")


def test_a_name_no_row_has_is_told_once_at_the_job(desk: Desk, provider: Serving) -> None:
    desk.write("p.csv", "prompt,photo\none,a.png\ntwo,b.png\n")
    with provider(INSTANT) as there:
        job = "prompts: {file: p.csv}\nreferences: ['{{foto}}']\n"
        ended = run(desk, there.base_url, job)
    assert ended.code == 65
    assert "job.yaml:4:1: references: unknown name `{{foto}}` (did you mean `photo`?)" in ended.err


def test_a_rerun_sends_the_same_pictures_from_the_folder_alone(
    desk: Desk, provider: Serving, tmp_path: Path
) -> None:
    picture(desk.folder, "a.png")
    with provider(faulty("refused", request=1)) as there:
        assert run(desk, there.base_url, "prompts: [in oil]\nreferences: [a.png]\n").code == 3
        (desk.folder / "job.yaml").unlink()
        kept = (desk.folder / "a.png").read_bytes()
        picture(desk.folder, "a.png")
        changed = desk.run("rerun", "out")
        assert there.bill()["requests"] == 1
        (desk.folder / "a.png").unlink()
        gone = desk.run("rerun", "out")
        assert there.bill()["requests"] == 1
        (desk.folder / "a.png").write_bytes(kept)
        assert desk.run("rerun", "out").code == 0
        assert there.bill()["requests"] == 2
    assert (changed.code, gone.code) == (3, 3)
    whys = [(record["why"], record["detail"] or "") for record in desk.lines]
    assert [why for why, _ in whys] == ["refused", "rejected", "rejected", None]
    assert "a.png has changed since" in whys[1][1]
    assert "a.png cannot be read" in whys[2][1]


# The simulator's own manners


async def test_the_official_openai_client_reads_an_image_plain_and_streamed(simulator: Any) -> None:
    async with (
        simulator(INSTANT) as base_url,
        AsyncOpenAI(base_url=base_url, api_key="sk-made-up", max_retries=0) as client,
    ):
        plain = await client.images.generate(model="any", prompt="a fox", n=2, size="1024x1024")
        stream = await client.images.generate(model="any", prompt="a fox", stream=True)
        events = [event async for event in stream]
        with pytest.raises(BadRequestError, match="size"):
            await client.images.generate(model="any", prompt="a fox", size="huge")
    assert len(plain.data or ()) == 2
    kinds = [event.type for event in events]
    assert kinds == ["image_generation.partial_image", "image_generation.completed"]
    for text in [(plain.data or [])[0].b64_json, events[-1].b64_json]:
        with Image.open(BytesIO(b64decode(text or ""))) as image:
            image.load()
            assert image.format == "PNG"
    assert len(events[0].b64_json) < len(events[-1].b64_json)


async def test_a_picture_with_a_wrong_label_is_refused(simulator: Any) -> None:
    url = "data:image/jpeg;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"
    picture: Any = {"type": "image_url", "image_url": {"url": url}}
    content: Any = [{"type": "text", "text": "in oil"}, picture]
    async with (
        simulator(INSTANT) as base_url,
        AsyncOpenAI(base_url=base_url, api_key="sk-made-up", max_retries=0) as client,
    ):
        with pytest.raises(BadRequestError, match="labelled image/jpeg and is image/png"):
            await client.chat.completions.create(
                model="any", messages=[{"role": "user", "content": content}]
            )


def test_one_line_of_json_holds_no_picture(desk: Desk, provider: Serving) -> None:
    picture(desk.folder, "a.png")
    with provider(INSTANT) as there:
        ended = run(desk, there.base_url, "prompts: [x]\nreferences: [a.png]\n", "--json")
    assert "base64" not in ended.out + ended.err
    assert json.loads(ended.out.splitlines()[-1])["made"] == 1
