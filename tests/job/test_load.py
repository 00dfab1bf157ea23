"""Loading: a good job in every word, a bad one with every fault at its place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import load, planned, surveyed
from pipeline.core.model import Keep
from pipeline.errors import BadJob, BadProfile, BadUsage, Faulty
from pipeline.job.job import Overrides
from pipeline.job.load import load_frozen, load_job, load_profile, shipped_profiles

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """\
# a comment
name: sunsets
provider: knox
model: google/gemini-2.5-flash-image
prompts:
  - Generate a beautiful sunset over mountains
  - {id: city, prompt: A futuristic city, aspect_ratio: 16:9, district: Shibuya}
template: "{{prompt}}, {{style}}"
matrix:
  style: [oil painting, studio photo]
  exclude: [{id: city, style: oil painting}]
  include: [{style: ukiyo-e}]
samples: 4
aspect_ratio: "16:9"
image_size: 2K
seed: 7
params: {temperature: 1.0}
keep: all
output:
  dir: outputs/elsewhere
  path: "images/{{shard}}/{{index:06}}-{{slug}}-{{id}}.{{ext}}"
  durability: power
  verify: structure
limits:
  concurrency: 64
  requests_per_minute: 600
  images_per_minute: null
  adaptive: true
retry:
  attempts: 5
  max_wait: 60
  no_image: 2
  refused: 1
  lost: 2
timeouts:
  connect: 10
  idle: 300
  total: 600.5
stop:
  failures_in_a_row: 25
  grace_int: 60
  grace_term: 8
"""
LINES = WHOLE.splitlines()


def faults_of(folder: Path, text: str, **how: Any) -> Faulty:
    with pytest.raises(Faulty) as caught:
        surveyed(load(folder, text, **how))
    return caught.value


def test_a_job_of_two_lines_is_a_whole_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = load(tmp_path, "prompts:\n  - a red fox\n")
    assert (job.name, job.provider, job.is_simulated) == ("job", "simulator", True)
    assert job.out == str(tmp_path / "outputs/job-simulator")
    assert (job.samples, job.keep, job.seed, job.template) == (1, Keep.ALL, None, None)
    assert (job.limits.concurrency, job.limits.adaptive) == (64, True)
    assert (job.retry.attempts, job.retry.max_wait, job.retry.refused) == (5, 60, 1)
    assert (job.timeouts.connect, job.timeouts.idle, job.timeouts.total) == (10, 300, 600)
    assert (job.stop.failures_in_a_row, job.stop.grace_int, job.stop.grace_term) == (25, 60, 8)
    (task,) = planned(job)
    assert (task.prompt, task.index, task.sample, task.params) == ("a red fox", 0, 0, {})


def test_every_key_of_the_contract_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    job = load(tmp_path, WHOLE)
    assert (job.name, job.provider) == ("sunsets", "knox")
    assert job.out == str(tmp_path / "outputs/elsewhere")
    assert job.params == {"max_tokens": 4096, "temperature": 1.0}
    assert (job.limits.concurrency, job.limits.requests_per_minute) == (64, 600)
    assert job.timeouts.total == 600.5
    tasks = planned(job)
    assert len(tasks) == 4 * (3 + 2)
    assert tasks[0].prompt == "Generate a beautiful sunset over mountains, oil painting"
    assert tasks[-1].meta == {"id": "city", "district": "Shibuya"}


BAD = [
    ("prompts: [a]\nsampels: 2\n", 2, "sampels", "did you mean `samples`"),
    ("prompts: [a]\nconcurrency: 2\n", 2, "concurrency", "did you mean `limits.concurrency`"),
    ("prompts: [a]\nlimits:\n  concurency: 2\n", 3, "limits.concurency", "`concurrency`"),
    ("name: x\nsamples: 2\n", 1, "prompts", "is missing"),
    ("name: x\nprompts: []\n", 2, "prompts", "empty"),
    ("name: x\nprompts:\n", 2, "prompts", "list of prompts"),
    ("name: x\nprompts: p.txt\n", 2, "prompts", "{file: prompts.tsv}"),
    ("prompts:\n  - a\n  - 42\n", 3, "prompts.1", "put 42 in quotes"),
    ("prompts:\n  - a\n  - no\n", 3, "prompts.1", "in quotes"),
    ("prompts:\n  - a\n  - ' '\n", 3, "prompts.1", "blank"),
    ("prompts:\n  - a\n  - [b]\n", 3, "prompts.1", "mapping with a `prompt`"),
    ("prompts:\n  - a\n  - {id: x}\n", 3, "prompts.1.prompt", "missing"),
    ("prompts:\n  - a\n  - prompt: b\n    seed: x\n", 4, "prompts.1.seed", "whole number"),
    ("prompts:\n  - a\n  - {prompt: b, keep: fist}\n", 3, "prompts.1.keep", "`first`"),
    ("prompts:\n  - a\n  - {prompt: b, references: [3]}\n", 3, "prompts.1.references.0", "text"),
    ("prompts:\n  - a\n  - {prompt: b, references: ['{{x']}\n", 3, "prompts.1.references.0", "not"),
    ("prompts: {file: p.parquet}\n", 1, "prompts.file", "not supported yet"),
    ("prompts: {file: p.doc}\n", 1, "prompts.file", ".txt"),
    ("prompts: {file: p.txt, column: x}\n", 1, "prompts.column", "no columns"),
    ("prompts: {file: p.csv, sample: {n: 3}}\n", 1, "prompts.sample", "not supported yet"),
    ("prompts: {file: p.csv, limit: 0}\n", 1, "prompts.limit", "at least 1"),
    ("prompts: [a]\nname: a/b\n", 2, "name", "one part of a path"),
    ("prompts: [a]\nname: ..\n", 2, "name", "one part of a path"),
    ("prompts: [a]\nname: 2026\n", 2, "name", "in quotes"),
    ("prompts: [a]\nsamples: 10001\n", 2, "samples", "at most 10000"),
    ("prompts: [a]\nsamples: 0\n", 2, "samples", "at least 1"),
    ("prompts: [a]\nsamples: true\n", 2, "samples", "whole number"),
    ("prompts: [a]\nsamples: '3'\n", 2, "samples", "whole number"),
    ("prompts: [a]\nsamples: 1.5\n", 2, "samples", "whole number"),
    ("prompts: [a]\nsamples:\n", 2, "samples", "whole number"),
    ("prompts: [a]\nlimits: {concurrency: 0}\n", 2, "limits.concurrency", "at least 1"),
    (
        "prompts: [a]\nlimits: {requests_per_minute: 0}\n",
        2,
        "limits.requests_per_minute",
        "greater",
    ),
    ("prompts: [a]\nlimits: {adaptive: 1}\n", 2, "limits.adaptive", "true or false"),
    ("prompts: [a]\ntimeouts: {idle: .nan}\n", 2, "timeouts.idle", "no number"),
    ("prompts: [a]\ntimeouts: {idle: -1}\n", 2, "timeouts.idle", "greater than 0"),
    ("prompts: [a]\nretry: 3\n", 2, "retry", "mapping"),
    ("prompts: [a]\nkeep: fisrt\n", 2, "keep", "did you mean `first`"),
    ("prompts: [a]\naspect_ratio: 16x9\n", 2, "aspect_ratio", "16:9"),
    ("prompts: [a]\nimage_size: huge\n", 2, "image_size", "2K"),
    ("prompts: [a]\nreferences: [3]\n", 2, "references.0", "must be text"),
    ("prompts: [a]\nreferences: ['{{promt}}']\n", 2, "references.0", "mean `prompt`"),
    (f"prompts: [a]\nreferences: {['x.png'] * 17}\n", 2, "references", "at most 16"),
    ("prompts: [a]\nlimits: {images_per_minute: 0}\n", 2, "limits.images_per_minute", "greater"),
    ("prompts: [a]\nbudget:\n  usd: -20\n", 3, "budget.usd", "at least 0"),
    ("prompts: [a]\nbudget:\n  usd: .inf\n", 3, "budget.usd", "number"),
    ("prompts: [a]\nbudget: {eur: 20}\n", 2, "budget.eur", "known here are usd"),
    ("prompts: [a]\nbudget: 20\n", 2, "budget", "mapping"),
    ("prompts: [{prompt: a, seed: '7'}]\n", 1, "prompts.0.seed", "whole number"),
    ("prompts:\n  - 3\n", 2, "prompts.0", "put 3 in quotes"),
    ("prompts: [a]\nprovider: []\n", 2, "provider", "must not be empty"),
    ("prompts: [a]\nprovider: 3\n", 2, "provider", "a name, a path"),
    ("prompts: [a]\noutput: {durability: none}\n", 2, "output.durability", "power or process"),
    ("prompts: [a]\noutput: {path: '/x/{{id}}.png'}\n", 2, "output.path", "relative"),
    ("prompts: [a]\noutput: {path: '{{slugg}}-{{id}}'}\n", 2, "output.path", "`slug`"),
    ("prompts: [a]\nsamples: 2\noutput: {path: '{{slug}}'}\n", 3, "output.path", "same file"),
    ("prompts: [a]\nparams: {model: x}\n", 2, "params", "`model:`"),
    ("prompts: [a]\nparams: {stream: 1}\n", 2, "params", "true or false"),
    ("prompts: [a]\ntemplate: '{{promt}}'\n", 2, "template", "did you mean `prompt`"),
    ("prompts: [a]\ntemplate: '{{prompt'\n", 2, "template", "not closed"),
    ("prompts: [a]\ntemplate: '{{seed}}'\n", 2, "template", "`seed` is not set"),
    ("prompts: [a]\ntemplate: '{{image_size}}'\n", 2, "template", "`image_size` is not set"),
    ("prompts: [a]\ntemplate: '{{row}}'\n", 2, "template", "no row has an `id`"),
    ("prompts: [a]\noutput: {path: '{{seed}}-{{id}}'}\n", 2, "output.path", "`seed` is not set"),
    ("prompts: [a]\nmatrix:\n  style: oil\n", 3, "matrix.style", "list"),
    ("prompts: [a]\nmatrix:\n  style: []\n", 3, "matrix.style", "empty"),
    ("prompts: [a]\nmatrix:\n  style: [a, {b: 1}]\n", 3, "matrix.style.1", "must be text"),
    ("prompts: [a]\nmatrix:\n  seed: [1, x]\n", 3, "matrix.seed.1", "whole number"),
    ("prompts: [a]\nmatrix:\n  index: [1]\n", 3, "matrix.index", "name of its own"),
    ("prompts: [a]\nmatrix:\n  references: [1]\n", 3, "matrix.references.0", "must be"),
    ("prompts: [a]\nmatrix:\n  a: [1]\n  exclude:\n    - {}\n", 5, "matrix.exclude.0", "empty"),
    ("prompts: [a]\nmatrix:\n  a: [1]\n  exclude: [{b: 1}]\n", 4, "matrix.exclude.0.b", "no axis"),
    ("prompts: [a]\nmatrix:\n  a: [1]\n  include: [{id: x}]\n", 4, "matrix.include.0.id", "no row"),
    ("prompts: [a]\nmatrix:\n  a: [1]\n  exclude: [{a: 1}]\n", 2, "matrix", "no combination"),
    ("prompts: [a]\nmodel: [x]\n", 2, "model", "must be text"),
    ("prompts: [a]\nprovider: local\n", 1, "model", "is missing"),
    ("- a\n", 1, "", "mapping of settings"),
    ("just text\n", 1, "", "mapping of settings"),
]


@pytest.mark.parametrize(("text", "line", "key", "what"), BAD, ids=[repr(b[0][-40:]) for b in BAD])
def test_a_mistake_in_a_job_is_told_at_its_line(
    tmp_path: Path, text: str, line: int, key: str, what: str
) -> None:
    stop = faults_of(tmp_path, text)
    (fault,) = stop.faults
    assert stop.exit_code == 65
    assert (fault.file, fault.line, fault.key) == (str(tmp_path / "job.yaml"), line, key)
    assert what in fault.what
    assert fault.col


def test_all_mistakes_are_told_together_in_the_files_order(tmp_path: Path) -> None:
    text = (
        "sampels: 2\nprompts: [a, 3, yes]\nprovider: knoxx\nkeep: none\nname: x\nname: y\n"
        "template: '{{promt}}'\nretry: {attempts: 0}\n"
    )
    stop = faults_of(tmp_path, text)
    assert [fault.line for fault in stop.faults] == [1, 2, 2, 3, 4, 6, 7, 8]
    assert stop.exit_code == 65


def test_the_first_twenty_of_many_faults_are_shown_with_their_number(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"\xff\n" * 50)
    stop = faults_of(tmp_path, "prompts: {file: p.txt}\n")
    lines = str(stop).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(f"{tmp_path}/p.txt:1: ")
    assert "50 faults" in lines[-1]


def _settings() -> list[int]:
    """Each line of the whole job that is a setting with a plain value."""
    return [
        n for n, line in enumerate(LINES, 1) if ": " in line and not line.startswith(("  -", "#"))
    ]


def _value_replaced(number: int, value: Any) -> tuple[int, list[str]]:
    key, _, _ = LINES[number - 1].partition(": ")
    return number, [*LINES[: number - 1], f"{key}: {value}", *LINES[number:]]


def _key_misspelt(number: int, letter: str) -> tuple[int, list[str]]:
    line = LINES[number - 1]
    indent = len(line) - len(line.lstrip())
    return number, [*LINES[: number - 1], line[:indent] + letter + line[indent:], *LINES[number:]]


def _line_added(after: int, line: str) -> tuple[int, list[str]]:
    while after < len(LINES) and (LINES[after].startswith(" ") or not LINES[after].strip()):
        after += 1
    return after + 1, [*LINES[:after], line, *LINES[after:]]


AXES = [n for n in _settings() if LINES[n - 1].startswith("  style")]
TEXTS = [n for n in _settings() if LINES[n - 1].split(":")[0].strip() in {"dir", "model", "name"}]
MISTAKES = st.one_of(
    st.builds(
        _line_added, st.just(len(LINES)), st.sampled_from(["samples: 3", "name: x", "stop: {}"])
    ),
    st.builds(
        _key_misspelt, st.sampled_from([n for n in _settings() if n not in AXES]), st.just("q")
    ),
    st.builds(_value_replaced, st.sampled_from(_settings()), st.sampled_from(["[[]]", "[[], {}]"])),
    st.builds(
        _value_replaced, st.sampled_from(TEXTS), st.sampled_from(["17", "true", "off", "[x"])
    ),
    st.builds(
        _line_added,
        st.integers(1, len(LINES)),
        st.sampled_from(
            [
                "budget: {usd: -1}",
                "references: [[]]",
                "color: red",
                "? [a]\n: b",
                "@at",
                "b: *alias",
                "c: !tag x",
                "d: 'never closed",
                "e: [1, 2",
                "f: {{prompt}}",
                "g: on",
                "h: .nan",
            ]
        ),
    ),
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MISTAKES)
def test_a_good_job_with_one_mistake_names_exactly_its_line(
    tmp_path: Path, mistake: tuple[int, list[str]]
) -> None:
    number, lines = mistake
    stop = faults_of(tmp_path, "\n".join(lines) + "\n")
    assert {fault.line for fault in stop.faults} == {number}, "\n".join(lines)
    assert stop.exit_code in {65, 78}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(range(len(LINES))),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.integers(0, 40),
)
def test_whatever_is_typed_into_a_job_it_loads_or_is_a_fault(
    tmp_path: Path, number: int, typed: str, at: int
) -> None:
    lines = [*LINES]
    lines[number] = lines[number][:at] + typed + lines[number][at:]
    try:
        surveyed(load(tmp_path, "\n".join(lines)))
    except Faulty:
        return


def test_a_job_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(BadJob, match=r"nowhere\.yaml: cannot read the job: No such file"):
        load_job(tmp_path / "nowhere.yaml")
    with pytest.raises(BadJob, match="directory"):
        load_job(tmp_path)


def test_a_job_beyond_one_mebibyte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadJob, match="larger than 1,048,576 bytes"):
        load(tmp_path, b"prompts: [a]\n#" + b"x" * 2**20)


def test_a_plan_beyond_a_hundred_million_tasks_names_the_count(tmp_path: Path) -> None:
    axes = "{a: [1, 2], b: [1, 2, 3]}"
    (tmp_path / "p.txt").write_text("x\n" * 20_000)
    text = f"prompts: {{file: p.txt}}\nmatrix: {axes}\nsamples: 10000\n"
    stop = faults_of(tmp_path, text)
    assert [str(fault.line) for fault in stop.faults] == ["3"]
    assert "1,200,000,000 tasks" in str(stop)


def test_a_matrix_beyond_a_hundred_million_cells_is_never_multiplied(tmp_path: Path) -> None:
    axes = "\n".join(f"  a{n}: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]" for n in range(20))
    stop = faults_of(tmp_path, f"prompts: [x]\nmatrix:\n{axes}\n")
    assert "100,000,000,000,000,000,000 combinations" in str(stop)


def test_flags_beat_the_environment_which_beats_the_job_which_beats_the_profile(
    tmp_path: Path,
) -> None:
    text = "prompts: [a]\nprovider: local\nmodel: m\noutput: {dir: /job}\n"
    environ = {"IMAGEBATCH_OUT": "/env", "IMAGEBATCH_PROVIDER": "knox"}
    by_job = load(tmp_path, text)
    by_env = load(tmp_path, text, environ=environ)
    by_flag = load(tmp_path, text, environ=environ, out="/flag", provider="openrouter")
    assert [(job.out, job.provider) for job in (by_job, by_env, by_flag)] == [
        ("/job", "local"),
        ("/env", "knox"),
        ("/flag", "openrouter"),
    ]
    empty = load(tmp_path, text, environ={"IMAGEBATCH_OUT": "", "IMAGEBATCH_PROVIDER": ""})
    assert (empty.out, empty.provider) == ("/job", "local")


def test_a_setting_of_the_command_line_beats_the_job(tmp_path: Path) -> None:
    text = "prompts: [a]\nretry: {attempts: 3, lost: 1}\nsamples: 2\n"
    given = (
        "retry.attempts=7",
        "limits.requests_per_minute=0.5",
        "seed=",
        "template='{{prompt}}!'",
    )
    job = load(tmp_path, text, settings=given)
    assert (job.retry.attempts, job.retry.lost, job.samples) == (7, 1, 2)
    assert job.limits.requests_per_minute == 0.5
    assert job.template == "{{prompt}}!"


@pytest.mark.parametrize(
    ("setting", "key", "what"),
    [
        ("retry.attempts=x", "retry.attempts", "whole number"),
        ("retry.atempts=3", "retry.atempts", "did you mean `attempts`"),
        ("foo.bar=1", "foo", "unknown key"),
        ("stop.a.b=1", "stop.a", "unknown key"),
        ("prompts.0=x", "prompts.0", "holds no keys"),
        ("samples=[", "samples", "not YAML"),
        ("name=on", "name", "quotes"),
    ],
)
def test_a_fault_of_a_setting_names_the_flag(
    tmp_path: Path, setting: str, key: str, what: str
) -> None:
    stop = faults_of(tmp_path, "prompts: [a]\n", settings=(setting,))
    (fault,) = stop.faults
    assert str(fault).startswith(f"--set {setting}: {key}: ")
    assert what in fault.what
    assert stop.exit_code == 65


@pytest.mark.parametrize("setting", ["samples", "=3", "a..b=3"])
def test_a_setting_that_is_none_is_wrong_usage(tmp_path: Path, setting: str) -> None:
    with pytest.raises(BadUsage, match=r"key\.path=value"):
        load(tmp_path, "prompts: [a]\n", settings=(setting,))


def test_the_default_folder_of_a_simulated_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "name: x\nprompts: [a]\n"
    assert load(tmp_path, text).out.endswith("/outputs/x-simulator")
    assert load(tmp_path, text, provider="knox").out.endswith("/outputs/x")
    assert load(tmp_path, text + "output: {dir: y}\n").out == str(tmp_path / "y")
    assert load(tmp_path, text, out="z").out == str(tmp_path / "z")


def test_limits_are_the_tighter_ones_of_job_and_profile(tmp_path: Path) -> None:
    profile = "base_url: https://x.test/v1\nmodel: m\nlimits: {concurrency: 100, adaptive: false, "
    (tmp_path / "p.yaml").write_text(profile + "requests_per_minute: 60, images_per_minute: 9}\n")
    silent = load(tmp_path, "prompts: [a]\nprovider: p.yaml\n").limits
    assert (silent.concurrency, silent.requests_per_minute, silent.adaptive) == (100, 60, False)
    assert silent.images_per_minute == 9
    text = "prompts: [a]\nprovider: p.yaml\nlimits: {concurrency: 5, requests_per_minute: 90, "
    spoken = load(tmp_path, text + "adaptive: true}\n").limits
    assert (spoken.concurrency, spoken.requests_per_minute, spoken.adaptive) == (5, 60, True)


def test_a_job_asks_for_a_stream_by_its_params_and_that_is_no_part_of_a_request(
    tmp_path: Path,
) -> None:
    plain = load(tmp_path, "prompts: [a]\n")
    streamed = load(tmp_path, "prompts: [a]\nparams: {stream: true}\n")
    assert (plain.profile.stream, streamed.profile.stream) == (False, True)
    assert streamed.params == {}
    assert planned(plain)[0].id == planned(streamed)[0].id


def test_an_unknown_provider_is_told_at_its_line_with_those_there_are(tmp_path: Path) -> None:
    stop = faults_of(tmp_path, "prompts: [a]\nprovider: knocks\n")
    assert stop.exit_code == 78
    assert str(stop).startswith(f"{tmp_path}/job.yaml:2:1: provider: unknown provider `knocks`")
    assert "knox, local, openai-images, openrouter, simulator" in str(stop)
    stop = faults_of(tmp_path, "prompts: [a]\n", provider="nox")
    assert str(stop).startswith("--provider nox: provider: unknown provider `nox` (did you mean")


def test_a_folder_of_the_jobs_own_cannot_shadow_a_shipped_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "configs"):
        folder.mkdir(exist_ok=True)
        (folder / "knox.yaml").write_text("base_url: https://evil.test/v1\nmodel: m\n")
    job = load(tmp_path, "prompts: [a]\nprovider: knox\n")
    assert job.profile.base_url == "https://api.knox.chat/v1"


def test_a_profile_is_found_from_the_jobs_folder_and_by_a_flag_from_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder in (tmp_path, tmp_path / "here"):
        (folder / "p.yaml").write_text(f"base_url: https://{folder.name[:4]}.test/\nmodel: m\n")
    text = "prompts: [a]\nprovider: ./p.yaml\n"
    assert load(tmp_path, text).profile.base_url == f"https://{tmp_path.name[:4]}.test"
    by_flag = load(tmp_path, text, provider="p.yaml")
    assert by_flag.profile.base_url == "https://here.test"
    assert (by_flag.provider, by_flag.chosen.reference) == ("p", str(tmp_path / "here/p.yaml"))
    by_setting = load(tmp_path, text, settings=("provider=p.yaml",))
    assert by_setting.profile.base_url == "https://here.test"


URL = "base_url: https://x.test\n"
BAD_PROFILES = [
    ("model: m\n", 1, "base_url", "is missing"),
    ("model: m\nbase_url: ftp://x\n", 2, "base_url", "address"),
    ("model: m\nbase_url: x.test/v1\n", 2, "base_url", "address"),
    ("model: m\nbase_url: https://user:pw@x.test\n", 2, "base_url", "user or password"),
    ("model: m\nbase_url: https://x.test/v1?a=1\n", 2, "base_url", "follows"),
    ("model: m\nbase_url: https://x.test:port/\n", 2, "base_url", "address"),
    ("model: m\nbase_url: http://x.test\n", 2, "base_url", "plain http"),
    ("model: m\nbase_url: http://127.0.0.1.evil.test\n", 2, "base_url", "plain http"),
    (URL + "dialekt: chat\n", 2, "dialekt", "did you mean `dialect`"),
    (URL + "dialect: images\nserver: vllm-omni\n", 3, "server", "chat requests"),
    (URL + "dialect: chatt\n", 2, "dialect", "did you mean `chat`"),
    (URL + "api_key: sk-123\n", 2, "api_key", "did you mean `api_key_"),
    (URL + "api_key_env: sk-123\n", 2, "api_key_env", "name of an environment variable"),
    (URL + "api_key_env: A\napi_key_file: b\n", 3, "api_key_file", "one place"),
    (URL + "api_key_file: b\napi_key_command: c\n", 3, "api_key_command", "one place"),
    (URL + "api_key_command: []\n", 2, "api_key_command", "is empty"),
    (URL + "api_key_command: ''\n", 2, "api_key_command", "is empty"),
    (URL + 'api_key_command: "pass \'x"\n', 2, "api_key_command", "split into words"),
    (URL + 'api_key_command: ["a\\0b"]\n', 2, "api_key_command", "NUL"),
    (URL + "api_key_command: {a: b}\n", 2, "api_key_command", "list"),
    (URL + "idempotency_header: 'a b'\n", 2, "idempotency_header", "no name of a header"),
    (URL + "idempotency_header: Authorization\n", 2, "idempotency_header", "may carry a key"),
    (URL + "idempotency_header: Host\n", 2, "idempotency_header", "leave it out"),
    (URL + "idempotency_header: K\nheaders: {k: x}\n", 3, "headers", "`idempotency_header`"),
    (
        URL + "dialect: openrouter-images\nidempotency_header: X-OpenRouter-Cache\n",
        3,
        "idempotency_header",
        "does not cover /images",
    ),
    (URL + "params: {api_key: sk-123}\n", 2, "params", "every line of the manifest"),
    (URL + "stream: 1\n", 2, "stream", "true or false"),
    (URL + "headers: {Authorization: x}\n", 2, "headers", "`api_key_env` only"),
    (URL + "headers: {X-Api-Key: x}\n", 2, "headers", "`api_key_env` only"),
    (URL + 'headers: {X: "a\\r\\nb"}\n', 2, "headers", "one line"),
    (URL + "headers: {Host: x}\n", 2, "headers", "leave it out"),
    (URL + "max_body: 12 cows\n", 2, "max_body", "128MiB"),
    (URL + "max_body: 0\n", 2, "max_body", "at least 1"),
    (URL + "limits: {concurrency: 0}\n", 2, "limits.concurrency", "at least 1"),
    (URL + "prices: {m: {image: -1}}\n", 2, "prices.m.image", "at least 0"),
    (URL + "params: {messages: []}\n", 2, "params", "prompts"),
    (URL + "simulator: {}\n", 1, "base_url", "leave this out"),
    ("model: m\nsimulator:\n  latenzy_s: 1\n", 3, "simulator.latenzy_s", "`latency_s`"),
    ("model: m\nsimulator:\n  faults: {x: 1}\n", 3, "simulator.faults.x", "no fault"),
    ("model: m\nsimulator:\n  seed: true\n", 3, "simulator.seed", "whole number"),
    ("a: 1\na: 2\nbase_url: https://x.test\n", 2, "a", "twice"),
    ("", 1, "", "empty"),
    ("[1]\n", 1, "", "mapping"),
]


@pytest.mark.parametrize(
    ("text", "line", "key", "what"), BAD_PROFILES, ids=[repr(b[0][-40:]) for b in BAD_PROFILES]
)
def test_a_mistake_in_a_profile_is_told_at_its_line(
    tmp_path: Path, text: str, line: int, key: str, what: str
) -> None:
    (tmp_path / "p.yaml").write_text(text)
    stop = faults_of(tmp_path, "prompts: [a]\nprovider: p.yaml\nmodel: m\n")
    assert stop.exit_code == 78
    fault = next(fault for fault in stop.faults if what in fault.what)
    assert (fault.file, fault.line, fault.key) == (str(tmp_path / "p.yaml"), line, key)
    assert "sk-123" not in str(stop)
    assert "pw@" not in str(stop)


@pytest.mark.parametrize(
    ("inline", "key", "what"),
    [
        ("{base_url: 'https://x.test', api_key_env: A}", "provider.api_key_env", "this machine"),
        ("{base_url: 'https://x.test', api_key_file: a}", "provider.api_key_file", "profile file"),
        ("{base_url: 'http://[::1]:8000', api_key_file: a}", "provider.api_key_file", "profile"),
        ("{base_url: 'http://[::1]:8', api_key_command: a}", "provider.api_key_command", "nothing"),
        ("{simulator: {api_key: x}}", "provider.simulator.api_key", "no key"),
        ("{base_url: 'https://x.test', strem: true}", "provider.strem", "`stream`"),
    ],
)
def test_a_profile_inside_a_job_is_checked_there_and_sends_no_key_out(
    tmp_path: Path, inline: str, key: str, what: str
) -> None:
    stop = faults_of(tmp_path, f"prompts: [a]\nmodel: m\nprovider: {inline}\n")
    (fault,) = stop.faults
    assert (stop.exit_code, fault.file, fault.line) == (78, str(tmp_path / "job.yaml"), 3)
    assert fault.key == key
    assert what in fault.what


def test_a_profile_inside_a_job_may_name_a_key_for_this_machine(tmp_path: Path) -> None:
    inline = "{base_url: 'http://127.0.0.1:8000/v1/', api_key_env: LOCAL_KEY}"
    job = load(tmp_path, f"prompts: [a]\nmodel: m\nprovider: {inline}\n")
    assert (job.provider, job.profile.base_url) == ("inline", "http://127.0.0.1:8000/v1")


def test_a_missing_profile_is_told_where_it_is_named(tmp_path: Path) -> None:
    stop = faults_of(tmp_path, "prompts: [a]\nprovider: ./p.yaml\n")
    assert stop.exit_code == 78
    assert str(stop).startswith(f"{tmp_path}/job.yaml:2:1: provider: cannot read the profile")


@pytest.mark.parametrize(
    ("text", "n_bytes"), [("5", 5), ("128MiB", 2**27), ("64kB", 64_000), ("1.5 GiB", 3 * 2**29)]
)
def test_sizes_are_read_as_people_write_them(tmp_path: Path, text: str, n_bytes: int) -> None:
    (tmp_path / "p.yaml").write_text(f"{URL}max_body: {text}\n")
    assert load_profile(str(tmp_path / "p.yaml")).profile.max_body == n_bytes


def test_every_shipped_profile_is_sound() -> None:
    assert shipped_profiles() == ["knox", "local", "openai-images", "openrouter", "simulator"]
    profiles = [load_profile(name) for name in shipped_profiles()]
    assert [chosen.is_simulated for chosen in profiles] == [False] * 4 + [True]


def test_a_bad_profile_is_raised_as_such(tmp_path: Path) -> None:
    with pytest.raises(BadProfile, match="unknown provider `x`"):
        load_profile("x")
    with pytest.raises(BadProfile, match="Is a directory"):
        load_profile(f"{tmp_path}/")


def test_a_frozen_job_lies_in_its_output_folder(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("prompts: [a]\nname: x\n")
    job = load_frozen(tmp_path, overrides=Overrides(limit=3), environ={})
    assert (job.name, job.out, job.limit) == ("x", os.fspath(tmp_path), 3)
