"""The frozen job: the same job again, from anywhere, without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import load, planned
from pipeline.job.job import Listed, Overrides
from pipeline.job.load import freeze, load_frozen
from pipeline.job.notation import text_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.job.job import Job

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)
SCALAR = TEXT | st.integers(-(2**40), 2**40) | st.floats(-1e9, 1e9) | st.booleans()
KEYS = st.sampled_from(["a", "Art style", "yes", "1", "ü"])
ROWS = TEXT | st.fixed_dictionaries(
    {"prompt": TEXT},
    optional={
        "id": TEXT | st.integers(-99, 10**12),
        "seed": st.integers(0, 99),
        "keep": st.sampled_from(["all", "first"]),
        "params": st.dictionaries(KEYS, SCALAR, max_size=2),
        "aspect_ratio": st.just("16:9"),
        "note": SCALAR | st.none() | st.lists(SCALAR, max_size=2),
    },
)
JOBS = st.fixed_dictionaries(
    {"prompts": st.lists(ROWS, min_size=1, max_size=4)},
    optional={
        "provider": st.sampled_from(["knox", {"simulator": {"latency_s": 0.5}}]),
        "model": st.just("m"),
        "template": st.just("{{prompt}} on 16:9 {{sample}}"),
        "matrix": st.dictionaries(KEYS, st.lists(SCALAR, min_size=1, max_size=2), max_size=2),
        "samples": st.integers(1, 3),
        "seed": st.integers(0, 9),
        "params": st.dictionaries(KEYS | st.just("x"), SCALAR, max_size=2),
        "keep": st.sampled_from(["all", "last"]),
        "limits": st.just(
            {"requests_per_minute": 0.5, "images_per_minute": 0.25, "adaptive": False}
        ),
        "timeouts": st.just({"idle": 1e-05, "total": 1e20}),
        "output": st.just({"path": "{{index}}/{{id}}", "durability": "process"}),
    },
)


def thawed(folder: Path, job: Job) -> Job:
    (folder / "out").mkdir(exist_ok=True)
    (folder / "out/job.yaml").write_text(freeze(job), encoding="utf-8")
    return load_frozen(folder / "out", overrides=Overrides(limit=job.limit), environ={})


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JOBS)
def test_a_frozen_job_is_the_same_job(tmp_path: Path, mapping: dict[str, Any]) -> None:
    job = load(tmp_path, text_of(mapping), out=str(tmp_path / "out"))
    assert thawed(tmp_path, job) == job


def test_a_frozen_job_finds_its_files_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("Text,n\na,1\nb,2\nc,3\n")
    (tmp_path / "mine.yaml").write_text(
        "base_url: https://x.test\nmodel: m\nstream: true\napi_key_env: K\n"
    )
    text = "prompts: {file: p.csv, column: Text, id: n, limit: 2}\nprovider: ./mine.yaml\n"
    job = load(tmp_path, text, out="out")
    monkeypatch.chdir("/")
    again = thawed(tmp_path, job)
    assert again == job
    assert (again.provider, again.profile.stream) == ("mine", True)
    assert planned(again) == planned(job)


def test_plain_references_are_frozen_so_that_they_are_found_from_anywhere(tmp_path: Path) -> None:
    text = "prompts: [a, {prompt: b, references: ['{{x}}.png', c.png], x: 1}]\n"
    as_they_are = ["https://x.test/y.png", "~/y.png", "/y.png", "data/{{prompt}}.png"]
    given = ["y.png", "../z/./y.png", *as_they_are]
    job = load(tmp_path, f"{text}references: {given}\n", out=str(tmp_path / "out"))
    again = thawed(tmp_path, job)
    here, above = str(tmp_path), str(tmp_path.parent)
    assert again.references == (f"{here}/y.png", f"{above}/z/y.png", *as_they_are)
    assert isinstance(again.prompts, Listed)
    assert again.prompts.rows[1].settings["references"] == ("{{x}}.png", f"{here}/c.png")
    assert freeze(again) == freeze(job)


def test_a_folder_that_looks_like_a_template_stays_out_of_the_frozen_job(tmp_path: Path) -> None:
    (tmp_path / "{{x}}").mkdir()
    job = load(tmp_path / "{{x}}", "prompts: [a]\nreferences: y.png\n", out=str(tmp_path / "out"))
    assert thawed(tmp_path, job).references == ("y.png",)


def test_a_stream_that_is_turned_off_stays_off(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base_url: https://x.test\nmodel: m\nstream: true\n")
    text = "prompts: [a]\nprovider: ./mine.yaml\nparams: {stream: false}\n"
    job = load(tmp_path, text, out=str(tmp_path / "out"))
    assert thawed(tmp_path, job).profile.stream is False


@pytest.mark.parametrize("word", ["K_SECRET", "sk-123"])
def test_a_frozen_job_holds_no_secret(tmp_path: Path, word: str) -> None:
    (tmp_path / "mine.yaml").write_text(
        "base_url: https://x.test\nmodel: m\napi_key_env: K_SECRET\n"
    )
    job = load(tmp_path, "prompts: [a]\nprovider: ./mine.yaml\n", environ={"K_SECRET": "sk-123"})
    assert word not in freeze(job)


def test_a_large_job_is_frozen_and_read_again(tmp_path: Path) -> None:
    prompts = "\n".join(f"  - {n:06} {'é' * 8}" for n in range(30_000))
    job = load(tmp_path, f"prompts:\n{prompts}\n", out=str(tmp_path / "out"))
    assert thawed(tmp_path, job) == job
