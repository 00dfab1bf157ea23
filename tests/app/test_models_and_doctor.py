"""What a provider has, and whether it can be worked with: asked of real servers."""

from __future__ import annotations

import json
import re
import socket
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from beside import in_a_thread
from scripted import Script, Scripted, scripted

from pipeline.app import catalog
from pipeline.core.simulation import FaultRule, Simulation
from pipeline.provider.simulator.prebuilt import prebuilt_png

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from commands import Desk, Ended, Serving

KEY = "sk-doctor-5d1f0c77"
KEYED = "api_key_env: THERE_KEY\n"


def answering(*scripts: Script, greeting: bytes = b"") -> AbstractContextManager[Scripted]:
    return in_a_thread(lambda: scripted(*scripts, greeting=greeting))


def listing(*models: Any) -> Script:
    return Script.whole(json.dumps({"data": models}).encode())


def entry(name: str, *gives: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "architecture": {"output_modalities": gives}, **more}


def image() -> Script:
    url = f"data:image/png;base64,{b64encode(prebuilt_png(0, 2_000)).decode()}"
    message = {"content": "", "images": [{"image_url": {"url": url}}]}
    return Script.whole(json.dumps({"choices": [{"message": message}]}).encode())


def paths(server: Scripted) -> list[str]:
    return [f"{asked.method} {asked.path}" for asked in server.requests]


def cache(desk: Desk) -> Path:
    (file,) = (desk.folder / ".cache/imagebatch").glob("models-*.json")
    return file


# The list


def test_a_list_is_asked_for_once_a_day(desk: Desk) -> None:
    with answering(listing(entry("draws", "image"), entry("talks", "text"))) as server:
        desk.provider(server.base_url)
        first = desk.run("models", "--provider", "./there.yaml", "--json")
        again = desk.run("models", "--provider", "./there.yaml", "--json")
        assert paths(server) == ["GET /v1/models?output_modalities=image"]
        refreshed = desk.run("models", "--provider", "./there.yaml", "--json", "--refresh")
        assert len(server.requests) == 2
    assert first.objects == again.objects == refreshed.objects
    assert [one["id"] for one in first.objects[:-1]] == ["draws"]
    assert first.summary["models"] == 1
    assert "--refresh" in again.err
    assert not first.err


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-9]),
        lambda file: file.write_bytes(b"\xff\x00"),
        lambda file: file.write_text("[1]"),
        lambda file: file.write_text(re.sub(r'"asked_at": \d+', '"asked_at": 9', file.read_text())),
        lambda file: file.write_text(file.read_text().replace('"asked_at": ', '"asked_at": 9')),
        lambda file: file.write_text(file.read_text().replace("127.0.0.1", "127.0.0.2")),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["cut", "no text", "no list", "over a day old", "of tomorrow", "elsewhere", "no file"],
)
def test_a_kept_list_that_is_no_good_is_as_good_as_none(desk: Desk, spoil: Any) -> None:
    with answering(listing(entry("draws", "image"))) as server:
        desk.provider(server.base_url)
        desk.run("models", "--provider", "./there.yaml")
        spoil(cache(desk))
        assert desk.run("models", "--provider", "./there.yaml").code == 0
        assert len(server.requests) == 2


def test_a_cache_that_cannot_be_written_is_no_error(desk: Desk) -> None:
    desk.write("file", "")
    desk.environ(XDG_CACHE_HOME=str(desk.folder / "file"))
    with answering(listing(entry("draws", "image"))) as server:
        desk.provider(server.base_url)
        ended = desk.run("models", "--provider", "./there.yaml")
    assert (ended.code, ended.err) == (0, "")
    assert "draws" in ended.out


def test_a_relative_cache_folder_is_not_heeded(desk: Desk) -> None:
    desk.environ(XDG_CACHE_HOME="here", HOME=str(desk.folder / "home"))
    with answering(listing(entry("draws", "image"))) as server:
        desk.provider(server.base_url)
        desk.run("models", "--provider", "./there.yaml")
    assert list((desk.folder / "home/.cache/imagebatch").iterdir())
    assert not (desk.folder / "here").exists()


def test_another_key_gets_its_own_list_and_no_key_is_kept(desk: Desk) -> None:
    echoed = entry(f"draws-for-{KEY}", "image")
    with answering(listing(echoed), listing(entry("draws", "image"))) as server:
        desk.provider(server.base_url, KEYED)
        desk.environ(THERE_KEY=KEY)
        ended = desk.run("models", "--provider", "./there.yaml", "--json")
        kept = cache(desk)
        desk.environ(THERE_KEY="sk-other")
        desk.run("models", "--provider", "./there.yaml")
        assert len(server.requests) == 2
    assert KEY not in ended.out + kept.name + kept.read_text()
    assert len(list(kept.parent.iterdir())) == 2


def test_a_list_without_images_asks_for_the_next(desk: Desk) -> None:
    with answering(listing(), listing({"id": "anything"})) as server:
        desk.provider(server.base_url)
        ended = desk.run("models", "--provider", "./there.yaml")
        assert len(server.requests) == 2
    assert "anything" in ended.out
    assert "does not say" in ended.out


def test_the_image_api_has_a_list_of_its_own_that_the_other_completes(desk: Desk) -> None:
    general = listing(entry("a", "image", pricing={"image_output": "0.04"}), entry("z", "image"))
    with answering(general, listing({"id": "a"}, {"id": "b"})) as server:
        desk.provider(server.base_url, "dialect: openrouter-images\n")
        ended = desk.run("models", "--provider", "./there.yaml", "--json")
        assert paths(server)[-1] == "GET /v1/images/models"
    assert [(one["id"], one["prices_usd"]) for one in ended.objects[:-1]] == [
        ("a", {"image_output": 0.04}),
        ("b", {}),
    ]


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        (Script.whole(b'{"error": {"message": "no such key"}}', 401), 77, "no such key"),
        (Script.whole(b"not here", 404), 78, "no list of models"),
        (Script.whole(b"", 302, location="/elsewhere"), 78, "redirects"),
        (Script.whole(b"<html>wall</html>", 403), 69, "firewall"),
        (Script.whole(b"<html>hello</html>"), 69, "no JSON"),
        (Script.whole(b"{}", 500), 69, "HTTP 500"),
        (Script().reset(), 69, "cannot be reached"),
    ],
)
def test_no_list_says_why(desk: Desk, script: Script, code: int, said: str) -> None:
    with answering(script) as server:
        desk.provider(server.base_url)
        ended = desk.run("models", "--provider", "./there.yaml")
    assert ended.code == code
    assert said in ended.err
    assert not (desk.folder / ".cache").exists()


# A run and the list


def test_a_run_asks_for_the_list_when_something_is_owed(desk: Desk) -> None:
    with answering(listing(entry("simulator/painter", "image", "text")), image()) as server:
        desk.job(["a cat"], base_url=server.base_url)
        assert desk.run("run", "job.yaml").code == 0
        assert [asked.method for asked in server.requests] == ["GET", "POST"]
        assert json.loads(server.requests[1].body)["modalities"] == ["image", "text"]
        assert desk.run("run", "job.yaml").code == 0
        cache(desk).unlink()
        assert desk.run("run", "job.yaml").code == 0
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("more", "sent"),
    [("", ["image"]), ("params: {modalities: [image, text, audio]}\n", ["image", "text", "audio"])],
)
def test_a_model_that_only_draws_is_asked_for_images_only(
    desk: Desk, more: str, sent: list[str]
) -> None:
    with answering(listing(entry("simulator/painter", "image")), image()) as server:
        desk.job(["a cat"], base_url=server.base_url, more=more)
        assert desk.run("run", "job.yaml").code == 0
        assert json.loads(server.requests[1].body)["modalities"] == sent


def test_a_model_that_is_not_listed_is_a_warning(desk: Desk) -> None:
    with answering(listing(entry("simulator/printer", "image")), image()) as server:
        desk.job(["a cat"], base_url=server.base_url)
        ended = desk.run("run", "job.yaml")
        assert ended.code == 0
        assert "not in the provider's list of 1 model" in ended.err
        assert "did you mean simulator/printer?" in ended.err
        plan = desk.run("plan", "job.yaml")
        assert "did you mean simulator/printer?" in plan.err
        assert "did you mean" not in desk.run("plan", "job.yaml", "-q").err
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "script",
    [
        Script.whole(b"not here", 404),
        Script.whole(b"nope", 401),
        Script.whole(b"<html>", 403),
        Script.whole(b"[]"),
        Script().close(),
        Script().hang(),
    ],
    ids=["404", "401", "wall", "empty", "cut", "silence"],
)
def test_a_provider_without_a_list_is_fine(
    desk: Desk, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "_LONGEST_WAIT_S", 0.2)
    with answering(script, image()) as server:
        desk.job(["a cat"], base_url=server.base_url)
        ended = desk.run("run", "job.yaml")
    assert (ended.code, ended.err) == (0, "")


def test_nothing_is_asked_before_the_output_folder_is_sound(desk: Desk) -> None:
    desk.write("out", "a file in the way")
    with answering(listing()) as server:
        desk.job(["a cat"], base_url=server.base_url)
        assert desk.run("run", "job.yaml").code == 73
        assert desk.run("plan", "job.yaml").code == 0
        assert not server.requests


# The doctor


def checks(ended: Ended) -> dict[str, dict[str, Any]]:
    return {one["check"]: one for one in ended.objects[:-1]}


def test_the_doctor_finds_a_sound_provider_sound_and_spends_nothing(
    desk: Desk, provider: Serving
) -> None:
    with provider(Simulation(api_key=KEY, latency_s=0)) as server:
        desk.provider(server.base_url, KEYED)
        desk.environ(THERE_KEY=KEY)
        before = sorted(desk.folder.rglob("*"))
        ended = desk.run("doctor", "--provider", "./there.yaml", "--json")
        table = desk.run("doctor", "--provider", "./there.yaml")
        assert server.bill()["requests"] == 0
        assert sorted(desk.folder.rglob("*")) == before
    assert (ended.code, ended.err, ended.summary["bad"]) == (0, "", 0)
    found = checks(ended)
    assert found["key"]["found"] == "from THERE_KEY"
    assert found["key accepted"]["verdict"] == "ok"
    assert found["clock"]["verdict"] == "ok"
    assert found["model list"]["found"] == "6 models that make images"
    assert "image" in found["model"]["found"]
    assert found["images"]["verdict"] == "skipped"
    assert KEY not in ended.out + table.out
    assert (table.code, len(table.out.splitlines())) == (0, 9)


def test_with_spend_the_doctor_makes_two_images(desk: Desk, provider: Serving) -> None:
    with provider(Simulation(latency_s=0, cost_usd=0.039)) as server:
        desk.provider(server.base_url)
        ended = desk.run("doctor", "--provider", "./there.yaml", "--spend", "--json")
        assert (server.bill()["requests"], server.bill()["billed"]) == (2, 2)
    assert ended.code == 0
    found = checks(ended)
    assert "message.images[]" in found["plain: shape"]["found"]
    assert "delta.images[]" in found["streamed: shape"]["found"]
    for way in ("plain", "streamed"):
        assert "image/png" in found[f"{way}: image"]["found"]
        assert found[f"{way}: size"]["verdict"] == "ok"
        assert found[f"{way}: cost"]["found"] == "$0.039"
        assert found[f"{way}: request id"]["verdict"] == "ok"
    assert [path.name for path in desk.folder.iterdir()] == ["there.yaml"]


def test_the_embedded_simulator_is_sound_too(desk: Desk) -> None:
    ended = desk.run("doctor")
    assert ended.code == 0
    assert "none needed" in ended.out


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [("text_only", 3, "no_image"), ("no_credit", 77, "payment"), ("no_model", 78, "model")],
)
def test_a_paid_request_without_an_image_says_what_a_run_would(
    desk: Desk, provider: Serving, fault: str, code: int, said: str
) -> None:
    rule = FaultRule(fault=fault)
    with provider(Simulation(latency_s=0, rules=(rule,))) as server:
        desk.provider(server.base_url)
        ended = desk.run("doctor", "--provider", "./there.yaml", "--spend")
    assert ended.code == code
    assert said in ended.out


def test_without_its_key_nothing_is_asked(desk: Desk) -> None:
    with answering(listing()) as server:
        desk.provider(server.base_url, KEYED)
        ended = desk.run("doctor", "--provider", "./there.yaml")
        assert not server.requests
    assert ended.code == 77
    assert "export THERE_KEY" in ended.out


def test_a_key_that_is_refused(desk: Desk, provider: Serving) -> None:
    with provider(Simulation(api_key="sk-right")) as server:
        desk.provider(server.base_url, KEYED)
        desk.environ(THERE_KEY=KEY)
        ended = desk.run("doctor", "--provider", "./there.yaml")
        assert (ended.code, server.bill()["requests"]) == (77, 0)
    assert KEY not in ended.out + ended.err


@pytest.mark.parametrize(
    ("account", "verdict", "found", "code"),
    [
        (Script.whole(b'{"data": {"limit_remaining": 7.5}}'), "ok", "$7.50 left", 0),
        (Script.whole(b'{"error": {"message": "who?"}}', 401), "bad", "no (401)", 77),
        (Script.whole(b"what?", 404), "skipped", "given to everybody", 0),
        (Script().reset(), "skipped", "no more", 0),
    ],
)
def test_where_the_list_is_public_the_account_is_asked_for(
    desk: Desk, account: Script, verdict: str, found: str, code: int
) -> None:
    models = listing(entry("simulator/painter", "image"))
    with answering(models, models, models, account) as server:
        desk.provider(server.base_url, KEYED)
        desk.environ(THERE_KEY=KEY)
        ended = desk.run("doctor", "--provider", "./there.yaml", "--json")
        assert paths(server)[3] == "GET /v1/key"
        assert "authorization" not in server.requests[2].headers
    check = checks(ended)["key accepted"]
    assert (check["verdict"], ended.code) == (verdict, code)
    assert found in check["found"]


def test_a_provider_without_a_list_is_sound(desk: Desk) -> None:
    with answering(Script.whole(b"no", 404, date="Sun, 22 Nov 2020 10:00:00 GMT")) as server:
        desk.provider(server.base_url)
        ended = desk.run("doctor", "--provider", "./there.yaml", "--json")
    assert ended.code == 0
    assert checks(ended)["model list"]["verdict"] == "warning"
    assert "ahead of the server's" in checks(ended)["clock"]["found"]


def test_an_address_where_nobody_answers(desk: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        desk.provider(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
        ended = desk.run("doctor", "--provider", "./there.yaml", "--json")
    assert ended.code == 69
    assert checks(ended)["connection"]["verdict"] == "bad"


def test_a_server_without_encryption_is_no_https_server(desk: Desk) -> None:
    with answering(listing(), greeting=b"220 hello\r\n") as server:
        desk.provider(server.base_url.replace("http:", "https:"))
        ended = desk.run("doctor", "--provider", "./there.yaml", "--json")
    assert ended.code == 69
    assert checks(ended)["TLS"]["verdict"] == "bad"


def test_a_redirect_is_a_wrong_address(desk: Desk) -> None:
    with answering(Script.whole(b"", 301, location="https://elsewhere.example/v1")) as server:
        desk.provider(server.base_url)
        ended = desk.run("doctor", "--provider", "./there.yaml")
    assert ended.code == 78
    assert "base_url" in ended.out


def test_a_proxy_is_named_without_its_password(desk: Desk) -> None:
    with answering(Script.whole(b"", 407)) as proxy:
        desk.write("there.yaml", "base_url: http://api.example.test/v1\nallow_http: true\n")
        desk.environ(http_proxy=proxy.origin.replace("//", "//user:hush@"), no_proxy="")
        ended = desk.run("doctor", "--provider", "./there.yaml")
        assert proxy.requests
    assert proxy.origin.removeprefix("http://") in ended.out
    assert "hush" not in ended.out + ended.err


def test_the_doctor_looks_at_the_model_that_is_named(desk: Desk, provider: Serving) -> None:
    with provider(Simulation(latency_s=0)) as server:
        desk.provider(server.base_url)
        ended = desk.run("doctor", "--provider", "./there.yaml", "--model", "simulator/writer")
    assert ended.code == 0
    assert "simulator/writer is not in the provider's list" in ended.out
