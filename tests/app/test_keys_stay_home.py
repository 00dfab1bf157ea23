"""A key goes to the host its profile names, and nowhere else: no file, no message, no stranger."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING

import pytest
from beside import in_a_thread
from scripted import Script, scripted

from pipeline.core.model import Request, Secret
from pipeline.core.ports import Broken
from pipeline.core.simulation import Simulation
from pipeline.provider.http import Address, Http, Patience

if TYPE_CHECKING:
    from commands import Desk, Ended, Serving

KEY = "sk-made-up-e7765c2b9a84f1d0"
KEYED = Simulation(latency_s=0, image_size="32x32", api_key=KEY)
ENV = "api_key_env: MY_PICTURES_KEY\n"


def command(script: str) -> str:
    words = [sys.executable, "-S", "-c", script]
    return f"api_key_command: {json.dumps(shlex.join(words))}\n"


def check_untold(desk: Desk, *told: Ended) -> None:
    """The key is in no output and in no file beside the one that may hold it."""
    assert not [one for one in told if KEY in one.out + one.err]
    files = [p for p in desk.folder.rglob("*") if p.is_file() and p.name != "there.yaml"]
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_command_is_run_once_for_a_run_and_not_where_no_key_is_needed(
    desk: Desk, provider: Serving
) -> None:
    runs = desk.folder / "runs"
    with provider(KEYED) as there:
        desk.job(["a", "b", "c"], base_url=there.base_url)
        desk.provider(there.base_url, command(f"open('runs', 'a').write('x'); print('{KEY}')"))
        told = [desk.run("plan", "job.yaml"), desk.run("plan", "job.yaml", "--json")]
        told += [desk.run("schema", "job"), desk.run("schema", "provider")]
        assert not runs.exists()
        told.append(desk.run("run", "job.yaml", "-v", "--json"))
        assert (told[-1].code, runs.read_text()) == (0, "x")
        told += [desk.run("run", "job.yaml"), desk.run("status", "out"), desk.run("verify", "out")]
        assert runs.read_text() == "x"
        desk.job(["a", "b", "c", "d"])
        told.append(desk.run("run", "job.yaml", "--provider", "there.yaml"))
        assert (told[-1].code, runs.read_text()) == (0, "xx")
        told.append(desk.run("models", "--provider", "there.yaml"))
        told.append(desk.run("doctor", "--provider", "there.yaml"))
        assert f"from {sys.executable}" in told[-1].out
        assert there.bill()["billed"] == 4
    assert all(one.code == 0 for one in told)
    check_untold(desk, *told)


@pytest.mark.parametrize("flags", [(), ("--json",), ("-q",), ("-v",)])
def test_a_command_without_a_key_is_77_and_nothing_is_sent_or_made(
    desk: Desk, provider: Serving, flags: tuple[str, ...]
) -> None:
    with provider(KEYED) as there:
        desk.job(["a"], base_url=there.base_url)
        script = f"import sys; print('{KEY}'); sys.exit('the wallet is locked')"
        desk.provider(there.base_url, command(script))
        told = desk.run("run", "job.yaml", *flags)
        assert there.bill()["requests"] == 0
    assert told.code == 77
    assert "the wallet is locked" in told.err
    assert sys.executable in told.err
    assert not desk.out.exists()
    check_untold(desk, told)


@pytest.mark.parametrize(
    "settings",
    [
        ("provider.api_key_command=touch here",),
        ("provider.api_key_file=key.txt",),
        ("provider.base_url=https://evil.example/v1",),
        ("provider={base_url: 'https://evil.example/v1', api_key_env: MY_PICTURES_KEY}",),
        ("provider={base_url: 'http://127.0.0.1:9', api_key_command: touch here}",),
        ("provider={base_url: 'https://evil.example', headers: {Authorization: Bearer x}}",),
        ("provider={base_url: 'https://evil.example', headers: {X-Auth-Token: x}}",),
        ("provider={base_url: 'https://evil.example', params: {api_key: x}}",),
        ("params={api_key: x}",),
        ("params={Authorization: x}",),
        ("params={x-api-key: x}",),
    ],
)
def test_no_setting_of_a_job_takes_a_key_elsewhere(desk: Desk, settings: tuple[str, ...]) -> None:
    desk.environ(MY_PICTURES_KEY=KEY, KNOXCHAT_API_KEY=KEY)
    desk.write("key.txt", "k")
    desk.write("job.yaml", "prompts: [a]\nmodel: m\nprovider: knox\noutput: {dir: out}\n")
    for words in [("run", "job.yaml"), ("plan", "job.yaml")]:
        told = desk.run(*words, *(word for one in settings for word in ("--set", one)))
        assert told.code in {65, 78}, told.err
        check_untold(desk, told)
    assert {p.name for p in desk.folder.iterdir()} == {"job.yaml", "key.txt"}


@pytest.mark.parametrize("name", ["knox.yaml", "configs/knox.yaml", "pipeline/configs/knox.yaml"])
def test_a_shipped_name_is_the_shipped_profile_whatever_lies_about(
    desk: Desk, provider: Serving, name: str
) -> None:
    """The key of the shipped profile has another variable: without it nothing is sent at all."""
    with provider(KEYED) as there:
        desk.environ(MY_PICTURES_KEY=KEY)
        desk.write(name, f"base_url: {there.base_url}\nmodel: m\n{ENV}")
        desk.write("job.yaml", "prompts: [a]\nprovider: knox\noutput: {dir: out}\n")
        told = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 0
    assert told.code == 77
    assert "export KNOXCHAT_API_KEY=" in told.err


def test_a_redirect_takes_no_key_to_another_host(desk: Desk) -> None:
    stranger = in_a_thread(lambda: scripted(Script.whole(b"{}")))
    with stranger as evil:
        moved = Script.whole(b"", 307, location=f"{evil.origin}/v1/chat/completions")
        with in_a_thread(lambda: scripted(moved)) as there:
            desk.environ(MY_PICTURES_KEY=KEY)
            desk.job(["a"], base_url=there.base_url)
            desk.provider(there.base_url, ENV)
            told = desk.run("run", "job.yaml")
            assert f"Bearer {KEY}" in {one.headers["authorization"] for one in there.requests}
        assert evil.n_accepted == 0
    assert told.code == 78
    check_untold(desk, told)


def echo(status: int) -> Script:
    """A reply that says the key wherever a reply can say something."""
    said = f"your key is {KEY}"
    body = {
        "id": said,
        "model": said,
        "provider": said,
        "choices": [{"finish_reason": said, "message": {"content": said, "refusal": said}}],
        "usage": {said: said, "cost": 0.01},
    }
    if status != 200:
        metadata = {"raw": said, "error_type": said, "reasons": [said], "provider_name": said}
        body["error"] = {"message": said, "code": said, "type": said, "metadata": metadata}
    raw = json.dumps(body).encode()
    echoed = {"x_generation_id": said, "x_request_id": said, "location": f"/{KEY}"}
    return Script.whole(raw, status, **echoed)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 402, 403, 404, 413, 422, 429, 500, 503])
def test_a_key_that_is_echoed_everywhere_is_told_nowhere(desk: Desk, status: int) -> None:
    with in_a_thread(lambda: scripted(echo(status))) as there:
        desk.environ(MY_PICTURES_KEY=KEY)
        more = "retry: {attempts: 2, max_wait: 0.01}\nlimits: {adaptive: false}\n"
        desk.job(["a", "b"], base_url=there.base_url, more=more)
        desk.provider(there.base_url, ENV)
        told = [
            desk.run(*words)
            for words in (
                ("run", "job.yaml", "--json", "-v"),
                ("rerun", "out", "-v"),
                ("status", "out", "--json"),
                ("status", "out"),
                ("verify", "out"),
                ("plan", "job.yaml"),
                ("models", "--provider", "there.yaml", "--json"),
                ("doctor", "--provider", "there.yaml", "--spend", "-v"),
            )
        ]
        assert any(one.method == "POST" for one in there.requests)
    check_untold(desk, *told)


async def test_a_proxy_on_the_way_to_https_is_shown_no_key() -> None:
    patience = Patience(connect_s=5, idle_s=5, total_s=5, most_body_bytes=999)
    async with scripted(Script.whole(b"", 403)) as proxy:
        through = Address(base_url="https://x.test/v1", key=Secret(KEY), proxy=proxy.origin)
        async with Http(through, patience) as http:
            with pytest.raises(Broken) as caught:
                async with http.send(Request(path="/a", body=b"{}", is_streamed=False)):
                    raise AssertionError
        (asked,) = proxy.requests
    assert asked.method == "CONNECT"
    assert KEY.encode() not in asked.raw
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


async def test_headers_of_a_request_go_out_beside_those_of_the_address() -> None:
    patience = Patience(connect_s=5, idle_s=5, total_s=5, most_body_bytes=999)
    async with scripted(Script.whole(b"{}")) as server:
        there = Address(base_url=server.base_url, key=Secret(KEY), headers={"X-Title": "t"})
        own = {"Idempotency-Key": "abc", "Authorization": "Bearer other"}
        request = Request(path="/a", body=b"{}", is_streamed=False, headers=own)
        async with Http(there, patience) as http, http.send(request):
            pass
        (asked,) = server.requests
    assert (asked.headers["idempotency-key"], asked.headers["x-title"]) == ("abc", "t")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
