"""Keys: where one comes from, where it may travel, and what is said where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.errors import NotAllowed
from pipeline.job.keys import key_of
from pipeline.job.load import load_profile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.job.job import Chosen


@pytest.fixture
def profile(tmp_path: Path) -> Callable[[str], Chosen]:
    def profile(text: str) -> Chosen:
        (tmp_path / "p.yaml").write_text(text)
        return load_profile(str(tmp_path / "p.yaml"))

    return profile


def test_a_key_comes_from_the_variable_the_profile_names() -> None:
    key = key_of(load_profile("knox"), {"KNOXCHAT_API_KEY": " sk-abc\n"})
    assert key is not None
    assert key.reveal() == "sk-abc"
    assert "sk-abc" not in f"{key} {key!r}"


@pytest.mark.parametrize("environ", [{}, {"KNOXCHAT_API_KEY": ""}, {"KNOXCHAT_API_KEY": " "}])
def test_a_missing_key_says_what_to_export_and_which_file_names_it(environ: dict[str, str]) -> None:
    with pytest.raises(NotAllowed) as caught:
        key_of(load_profile("knox"), environ)
    assert caught.value.exit_code == 77
    assert "export KNOXCHAT_API_KEY=" in str(caught.value)
    assert "knox.yaml" in str(caught.value)


def test_a_key_comes_from_the_first_line_of_a_file(
    profile: Callable[[str], Chosen], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text("sk-abc  \nsecond line\n")
    for where in ("key", "~/key", tmp_path / "key"):
        key = key_of(profile(f"base_url: https://x.test\napi_key_file: {where}\n"), {})
        assert key is not None
        assert key.reveal() == "sk-abc"


def test_a_missing_key_file_is_named(profile: Callable[[str], Chosen], tmp_path: Path) -> None:
    with pytest.raises(NotAllowed, match=f"put the key into {tmp_path}/nokey"):
        key_of(profile("base_url: https://x.test\napi_key_file: nokey\n"), {})


@pytest.mark.parametrize("key", ["sk-a b", "sk-a\nb", "sk-ä", "sk-\x07"])
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(NotAllowed, match="copy it again") as caught:
        key_of(load_profile("knox"), {"KNOXCHAT_API_KEY": key})
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("https://x.test", "sk-abc"),
        ("http://127.0.0.1:8000", "sk-abc"),
        ("http://[::1]/v1", "sk-abc"),
        ("http://localhost:1", "sk-abc"),
        ("http://192.168.1.7", None),
        ("http://localhost.x.test", None),
        ("http://127.0.0.1.x.test", None),
    ],
)
def test_a_key_travels_by_tls_or_stays_on_the_machine(
    profile: Callable[[str], Chosen], address: str, key: str | None
) -> None:
    chosen = profile(f"base_url: {address}\nallow_http: true\napi_key_env: K\n")
    sent = key_of(chosen, {"K": "sk-abc"})
    assert (sent and sent.reveal()) == key


def test_no_key_is_asked_for_where_none_is_named() -> None:
    assert key_of(load_profile("local"), {}) is None
    assert key_of(load_profile("simulator"), {}) is None
