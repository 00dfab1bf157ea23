"""The plan: which tasks a job is, in which order, under which identity."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import load, planned, reading, surveyed
from pipeline.core.model import Keep
from pipeline.errors import BadJob
from pipeline.job.repeats import number_of
from pipeline.job.tasks import tasks

if TYPE_CHECKING:
    from pathlib import Path

GOLDEN = [
    "1a443e305521809b2550",
    "e82e7383d95e3432ab3c",
    "2b63f9e5a885dc5f10aa",
    "8ad0830f5ee32d46c0fb",
]


def ids(folder: Path, text: str, **how: Any) -> list[str]:
    return [task.id for task in planned(load(folder, text, **how))]


def test_identities_stay_what_they_are_for_good(tmp_path: Path) -> None:
    """Changing one of these makes every user pay for every image again."""
    text = (
        "model: m\nprompts: [a red fox, {prompt: 東京, aspect_ratio: '16:9', image_size: 2K}]\n"
        "seed: 7\nsamples: 2\nparams: {b: 1.5, a: [x, null]}\n"
    )
    real = ids(tmp_path, text, provider="local")
    assert real == GOLDEN
    assert not set(ids(tmp_path, text, provider="simulator")) & set(real)


def test_order_is_rows_then_cells_then_samples(tmp_path: Path) -> None:
    text = "prompts: [a, b]\nmatrix: {x: [1, 2], y: [u, v]}\nsamples: 2\n"
    plan = planned(load(tmp_path, text + "template: '{{prompt}}{{x}}{{y}}'\n"))
    texts = ["a1u", "a1v", "a2u", "a2v", "b1u", "b1v", "b2u", "b2v"]
    assert [(task.index, task.sample, task.prompt) for task in plan] == [
        (index, sample, prompt) for index, prompt in enumerate(texts) for sample in (0, 1)
    ]
    assert plan[2].vars == {"x": 1, "y": "v"}


def test_an_axis_that_is_sent_nowhere_makes_the_same_request_again(tmp_path: Path) -> None:
    survey = surveyed(load(tmp_path, "prompts: [a]\nmatrix: {x: [1, 2, 3]}\n"))
    assert (survey.n_tasks, survey.n_repeated) == (1, 2)


def test_sample_k_is_sent_seed_plus_k(tmp_path: Path) -> None:
    assert [t.seed for t in planned(load(tmp_path, "prompts: [a]\nseed: 7\nsamples: 3\n"))] == [
        7,
        8,
        9,
    ]


def test_an_axis_beats_the_row_which_beats_the_job(tmp_path: Path) -> None:
    text = (
        "prompts: [a, {prompt: b, model: row, keep: first, params: {p: 2, q: 2}, seed: 5}]\n"
        "model: job\nparams: {p: 1, r: 1}\nprovider: local\n"
        "matrix: {seed: [1], image_size: [512], include: [{seed: 1, params: {q: 3}, keep: last}]}\n"
    )
    plain, own = planned(load(tmp_path, text))
    assert (plain.model, plain.seed, plain.image_size, plain.keep) == ("job", 1, "512", Keep.LAST)
    assert (own.model, own.seed, own.params) == ("row", 1, {"p": 2, "r": 1, "q": 3})
    assert plain.vars == {"seed": 1, "image_size": 512, "params": {"q": 3}, "keep": "last"}


def test_a_template_knows_prompt_columns_axes_and_numbers(tmp_path: Path) -> None:
    text = (
        'template: "{{prompt}}|{{n:03}}|{{style}}|{{index}}|{{sample}}|{{row}}|{{seed}}"\n'
        "prompts: [{id: r, prompt: '{{style}}', n: 7}]\n"
        "matrix: {style: [oil]}\nsamples: 2\nseed: 1\nmodel: m\n"
    )
    texts = [task.prompt for task in planned(load(tmp_path, text))]
    assert texts == ["{{style}}|007|oil|0|0|r|1", "{{style}}|007|oil|0|1|r|2"]


@pytest.mark.parametrize(
    "seed", ["seed: 7\n", "matrix: {seed: [7]}\n", "prompts: [{prompt: a, seed: 7}]\n"]
)
def test_a_template_that_names_the_seed_gets_the_one_that_is_sent(
    tmp_path: Path, seed: str
) -> None:
    text = seed if "prompts" in seed else "prompts: [a]\n" + seed
    plan = planned(load(tmp_path, text + "samples: 2\ntemplate: '{{prompt}} {{seed}}'\n"))
    assert [(task.prompt, task.seed) for task in plan] == [("a 7", 7), ("a 8", 8)]


def test_a_setting_that_some_rows_lack_is_a_fault_of_those_rows(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,seed,aspect_ratio\na,1,1:1\nb,,\n")
    text = "prompts: {file: p.csv}\n"
    named = text + "template: '{{prompt}} {{aspect_ratio}}'\noutput: {path: '{{seed}}-{{id}}'}\n"
    with pytest.raises(BadJob) as caught:
        surveyed(load(tmp_path, named))
    assert [(f.line, f.key) for f in caught.value.faults] == [(3, "aspect_ratio")]
    with pytest.raises(BadJob, match=r"p\.csv:3: seed: is missing here, .*`output\.path` names it"):
        surveyed(load(tmp_path, text + "output: {path: '{{seed}}-{{id}}'}\n"))


def test_an_axis_may_leave_a_setting_to_the_job(tmp_path: Path) -> None:
    text = "prompts: [a]\nmatrix: {aspect_ratio: ['16:9', null]}\ntemplate: '{{aspect_ratio}}'\n"
    plan = planned(load(tmp_path, text + "aspect_ratio: '1:1'\n"))
    assert [task.prompt for task in plan] == ["16:9", "1:1"]
    with pytest.raises(BadJob, match="`aspect_ratio` is not set for every image"):
        surveyed(load(tmp_path, text))


def test_a_misspelt_name_is_told_from_axes_and_our_own_names_too(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,title\na,b\n")
    text = "prompts: {file: p.csv}\nmatrix: {light: [dawn]}\n"
    for name, meant in {"lihgt": "light", "promt": "prompt", "titel": "title"}.items():
        with pytest.raises(BadJob, match=rf"`{{{{{name}}}}}` \(did you mean `{meant}`\?\)"):
            surveyed(load(tmp_path, f"{text}template: '{{{{prompt}}}} {{{{{name}}}}}'\n"))
    with pytest.raises(BadJob, match=r"output\.path: unknown name .*did you mean `light`"):
        surveyed(load(tmp_path, text + "output: {path: '{{lihgt}}-{{id}}'}\n"))


@pytest.mark.parametrize(
    ("name", "more", "key"),
    [
        ("index", "template: '{{prompt}} {{index}}'\n", "template"),
        ("sample", "template: '{{prompt}} {{sample}}'\n", "template"),
        ("index", "references: '{{index}}.png'\n", "references.0"),
        *[
            (name, f"output: {{path: '{{{{{name}}}}}/{{{{id}}}}'}}\n", "output.path")
            for name in ("sample", "index", "slug", "image", "shard", "ext")
        ],
    ],
)
def test_a_column_whose_name_means_something_else_has_to_be_renamed_to_be_named(
    tmp_path: Path, name: str, more: str, key: str
) -> None:
    (tmp_path / "p.csv").write_text(f"prompt,{name}\na,1\n")
    text = "prompts: {file: p.csv}\n"
    (task,) = planned(load(tmp_path, text))  # unnamed, it is a column like any other
    assert task.meta == {name: "1"}
    with pytest.raises(BadJob, match=f"hides the column `{name}`: rename the column") as caught:
        surveyed(load(tmp_path, text + more))
    fault = caught.value.faults[-1]
    assert (fault.file, fault.line, fault.key) == (str(tmp_path / "job.yaml"), 2, key)


def test_a_column_may_be_named_where_its_name_means_nothing_else(tmp_path: Path) -> None:
    text = "prompts: [{prompt: a, image: x.png, slug: s}]\ntemplate: '{{image}} {{slug}}'\n"
    assert planned(load(tmp_path, text))[0].prompt == "x.png s"


def test_the_same_request_twice_is_one_task_and_the_plan_says_so(tmp_path: Path) -> None:
    text = "prompts:\n  - a\n  - b\n  - {prompt: a, note: again}\n  - {prompt: a, seed: 3}\n"
    job = load(tmp_path, text + "samples: 2\n")
    survey = surveyed(job)
    assert (survey.n_combinations, survey.n_tasks, survey.n_repeated) == (4, 6, 2)
    expected = "2 tasks are the same request as an earlier one, made once (first: line 4 = line 2)"
    assert survey.repeated == expected
    assert [task.index for task in planned(job)] == [0, 0, 1, 1, 3, 3]


def test_repeats_are_found_sample_by_sample_where_the_prompt_holds_the_sample(
    tmp_path: Path,
) -> None:
    text = "prompts: [{a: '', prompt: '0'}, {a: '0', prompt: x, b: ''}]\nsamples: 2\n"
    job = load(tmp_path, text + "template: '{{a}}{{sample}}{{prompt}}'\n")
    assert [task.prompt for task in planned(job)] == ["00", "10", "00x", "01x"]
    text = "prompts: [{a: '', prompt: '0'}, {a: '0', prompt: ' '}]\nsamples: 2\n"
    with pytest.raises(BadJob, match="blank"):
        load(tmp_path, text)
    text = "prompts: [p]\nsamples: 2\ntemplate: '{{prompt}}{{a}}{{sample}}{{b}}'\n"
    matrix = "matrix: {include: [{a: '', b: '0'}, {a: '0', b: ''}]}\n"
    job = load(tmp_path, text + matrix)
    assert [task.prompt for task in planned(job)] == ["p00", "p10", "p01"]


def test_only_the_first_tasks_are_wanted_under_a_limit(tmp_path: Path) -> None:
    job = load(tmp_path, "prompts: [a, b, c]\nsamples: 2\n", limit=3)
    assert surveyed(job).n_wanted == 3
    assert [(task.index, task.sample) for task in planned(job)] == [(0, 0), (0, 1), (1, 0)]


def test_editing_one_prompt_makes_one_new_task(tmp_path: Path) -> None:
    before = ids(tmp_path, "prompts: [a, b, c]\nsamples: 2\n")
    after = ids(tmp_path, "prompts: [a, B, c]\nsamples: 2\n")
    assert len(set(after) - set(before)) == 2


@pytest.mark.parametrize(
    "same",
    [
        "keep: first\n",
        "output: {path: '{{id}}'}\n",
        "limits: {concurrency: 3}\n",
        "name: other\n",
        "params: {stream: true}\n",
        "prompts: [{prompt: a, note: x}]\n",
    ],
)
def test_what_is_not_asked_for_changes_no_identity(tmp_path: Path, same: str) -> None:
    text = same if "prompts" in same else "prompts: [a]\n" + same
    assert ids(tmp_path, text) == ids(tmp_path, "prompts: [a]\n")


@pytest.mark.parametrize(
    "other",
    ["seed: 1\n", "model: x\n", "params: {a: 1}\n", "aspect_ratio: 1:1\n", "image_size: 1K\n"],
)
def test_what_is_asked_for_changes_the_identity(tmp_path: Path, other: str) -> None:
    assert ids(tmp_path, "prompts: [a]\n" + other) != ids(tmp_path, "prompts: [a]\n")


def test_a_column_that_some_rows_lack_is_a_fault_of_those_rows(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt":"a","x":1}\n{"prompt":"b"}\n{"prompt":"c"}\n')
    with pytest.raises(BadJob) as caught:
        surveyed(load(tmp_path, "prompts: {file: p.jsonl}\ntemplate: '{{prompt}} {{x}}'\n"))
    assert [(f.line, f.key) for f in caught.value.faults] == [(2, "x"), (3, "x")]


def test_a_column_that_no_row_has_is_a_fault_of_the_template(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,style\na,oil\nb,oil\n")
    with pytest.raises(BadJob, match=r"job.yaml:2:1: template: unknown name .*`style`"):
        surveyed(load(tmp_path, "prompts: {file: p.csv}\ntemplate: '{{prompt}} {{stile}}'\n"))


def test_a_path_by_a_column_is_looked_at_row_by_row(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,style\na,oil\nb,oil\n")
    text = "prompts: {file: p.csv}\noutput: {path: '%s'}\n"
    with pytest.raises(BadJob, match=r"lines 2 and 3 get the same file `oil\.png`"):
        surveyed(load(tmp_path, text % "{{style}}"))
    with pytest.raises(BadJob, match=r"output\.path: unknown name .*did you mean `style`"):
        surveyed(load(tmp_path, text % "{{stile}}-{{id}}"))
    assert surveyed(load(tmp_path, text % "{{style}}-{{slug}}")).n_tasks == 2


def test_a_request_that_is_asked_for_again_gets_no_file_and_takes_none(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,style\na,oil\na,ink\nb,ink\na,\n")
    text = "prompts: {file: p.csv}\noutput: {path: '{{style}}'}\n"
    assert surveyed(load(tmp_path, text)).n_tasks == 2
    (tmp_path / "p.jsonl").write_text('{"prompt":"a","style":"oil"}\n{"prompt":"a"}\n')
    for path in ("{{style}}", "{{id}}-{{style}}"):
        again = f"prompts: {{file: p.jsonl}}\noutput: {{path: '{path}'}}\n"
        assert surveyed(load(tmp_path, again)).n_tasks == 1


def test_a_row_without_a_model_is_one_fault_however_many_cells_it_has(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,model\na,\nb,\nc,m\n")
    text = "prompts: {file: p.csv}\nprovider: local\nmatrix: {a: [1, 2, 3]}\n"
    with pytest.raises(BadJob) as caught:
        surveyed(load(tmp_path, text + "template: '{{prompt}}{{a}}'\n"))
    assert [fault.line for fault in caught.value.faults] == [2, 3]


def test_a_row_may_name_the_model_where_nobody_else_does(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt,model\na,m\nb,\n")
    text = "prompts: {file: p.csv}\nprovider: local\n"
    with pytest.raises(BadJob, match=r"job.yaml:1:1: model: is missing"):
        load(tmp_path, "prompts: [a]\nprovider: local\n")
    with pytest.raises(BadJob, match=r"p.csv:3: model: is missing here"):
        surveyed(load(tmp_path, text))
    assert surveyed(load(tmp_path, text + "matrix: {model: [x]}\n")).n_tasks == 2


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=6),
    st.lists(st.sampled_from(["x", "y", "z"]), min_size=1, max_size=4),
    st.integers(1, 3),
    st.none() | st.integers(0, 9),
)
def test_survey_and_tasks_agree_and_no_task_comes_twice(
    tmp_path: Path, prompts: list[str], axis: list[str], samples: int, n: int | None
) -> None:
    text = f"prompts: {prompts}\nmatrix: {{s: {axis}}}\nsamples: {samples}\n"
    text += "template: '{{prompt}}{{s}}'\n" + ("seed: 3\n" if samples > 1 else "")
    job = load(tmp_path, text, limit=n)
    survey = surveyed(job)
    plan = planned(job)
    assert len({task.id for task in plan}) == len(plan) == survey.n_wanted
    assert survey.n_tasks == len(set(prompts)) * len(set(axis)) * samples
    assert survey.n_tasks + survey.n_repeated == len(prompts) * len(axis) * samples
    without_limit = dataclasses.replace(survey, n_wanted=10**6)
    whole = list(tasks(job, without_limit, reading(job)))
    assert whole[: len(plan)] == plan
    assert tuple(whole[:5]) == survey.first


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=8),
    st.sampled_from(["", "matrix: {s: [x, y]}\n", "matrix: {s: [x, y], exclude: [{s: x}]}\n"]),
    st.sampled_from(["txt", "csv", "jsonl"]),
    st.none() | st.integers(0, 9),
)
def test_tasks_may_begin_anywhere(
    tmp_path: Path, prompts: list[str], matrix: str, kind: str, limit: int | None
) -> None:
    lines = {"txt": prompts, "csv": ["prompt", *prompts]}
    lines["jsonl"] = [f'{{"prompt":"{one}"}}' for one in prompts]
    (tmp_path / f"p.{kind}").write_text("\n".join(lines[kind]) + "\n\n")
    text = f"prompts: {{file: p.{kind}}}\n{matrix}template: '{{{{prompt}}}}"
    job = load(tmp_path, text + ("{{s}}'\n" if matrix else "'\n"), limit=limit)
    survey = surveyed(job)
    whole = planned(job)
    for place in range(len(whole)):
        start = number_of(place, survey.repeats)
        assert list(tasks(job, survey, reading(job), start=start)) == whole[place:]


def test_an_axis_that_no_template_names_is_told_where_requests_repeat(tmp_path: Path) -> None:
    told = surveyed(load(tmp_path, "prompts: [a]\nmatrix: {style: [x, y]}\n")).repeated
    assert told is not None
    assert told.endswith(": `style` changes nothing that is sent; name it in `template`")


def test_a_model_that_no_row_has_is_one_fault_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("base_url: http://127.0.0.1:9/v1\n")
    (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(BadJob) as bad:
        surveyed(load(tmp_path, "provider: ./p.yaml\nprompts: {file: p.txt}\n"))
    assert [(fault.key, fault.line) for fault in bad.value.faults] == [("model", 1)]
