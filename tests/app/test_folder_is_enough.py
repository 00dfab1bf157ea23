"""The folder is enough: what made it may change, move or be gone, and nothing is bought twice."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING

import pytest
from commands import check_whole, newest
from PIL import Image

from pipeline import load_job, run
from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from pathlib import Path

    from commands import Desk, Ended, Serving

QUICK = Simulation(latency_s=0, image_size="64x64")
ODD_ONCE = Simulation(
    latency_s=0, image_size="64x64", rules=(FaultRule(fault="refused", prompt="odd", attempt=1),)
)
PROMPTS = {
    "prompts.txt": "one\ntwo\nthree\n",
    "prompts.csv": "prompt,of\none,1\ntwo,2\nthree,3\n",
    "prompts.tsv": "prompt\tof\none\t1\ntwo\t2\nthree\t3\n",
    "prompts.jsonl": '{"prompt": "one"}\n{"prompt": "two"}\n{"prompt": "three"}\n',
}


def of_file(desk: Desk, base_url: str, name: str = "prompts.txt", more: str = "") -> Path:
    """``job.yaml`` that reads prompts from a file."""
    desk.job(f"{{file: {name}}}", base_url=base_url, more=more)
    return desk.write(name, PROMPTS[name.rpartition("/")[2]])


def begun(desk: Desk) -> None:
    """The first of the tasks is made, the others are owed."""
    assert desk.run("run", "job.yaml", "--limit", "1").code == 0


def next_of(told: Ended) -> list[str]:
    last: str = told.out.splitlines()[-1]
    return shlex.split(last.removeprefix("next: imagebatch "))


def as_it_lies(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder, with its time and content."""
    files = (one for one in folder.rglob("*") if one.is_file())
    return {str(one): (one.stat().st_mtime_ns, one.read_bytes()) for one in files}


def status_of(desk: Desk, out: str = "out") -> tuple[int, int, int]:
    told = json.loads(desk.run("status", out, "--json").out)
    return told["made"], told["owed"], told["unwanted"]


def picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((16, 16), 64).save(file)


# What made the folder is gone or changed: rerun


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_rerun_needs_nothing_of_what_made_the_folder(
    desk: Desk, provider: Serving, how: str
) -> None:
    with provider(ODD_ONCE) as there:
        desk.provider(there.base_url)
        desk.write("home/rows.csv", "prompt,photo\nodd,cat\neven,cat\n")
        picture(desk.folder / "home/cat.png")
        text = "prompts: {file: rows.csv}\nreferences: ['https://example.com/{{photo}}.png']\n"
        desk.write("home/job.yaml", f"provider: ../there.yaml\n{text}")
        assert desk.run("run", "home/job.yaml", "--out", "out").code == 3
        if how == "gone":
            shutil.rmtree(desk.folder / "home")
        else:
            desk.write("home/rows.csv", "nonsense\n")
            desk.write("home/job.yaml", "prompts: [something else]\nsamples: 9\n")
        told = desk.run("rerun", "out")
        assert (told.code, there.bill()["requests"]) == (0, 3)
        assert list(there.bill()["prompts"].values()) == [1, 1]  # a refusal costs nothing
    check_whole(desk.out)


# The prompt file is gone: run goes on from the folder's copy


@pytest.mark.parametrize("name", PROMPTS)
def test_a_run_goes_on_from_its_own_copy_of_prompts_that_are_gone(
    desk: Desk, provider: Serving, name: str
) -> None:
    with provider(QUICK) as there:
        prompts = of_file(desk, there.base_url, name)
        begun(desk)
        prompts.unlink()
        told = desk.run("run", "job.yaml")
        copy = f"out/.state/{name}"
        assert told.code == 0
        assert told.err == f"{name} is gone: going on from the copy in {copy}\n"
        assert (desk.folder / copy).read_text() == PROMPTS[name]
        again = desk.run("run", "job.yaml", "--json")
        assert (again.code, again.summary["made"], again.summary["requests"]) == (0, 3, 0)
        assert sorted(there.bill()["prompts"].values()) == [1, 1, 1]
    check_whole(desk.out)


def test_the_folder_of_the_prompts_may_be_gone_too(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        of_file(desk, there.base_url, "data/prompts.tsv")
        begun(desk)
        shutil.rmtree(desk.folder / "data")
        desk.write("data", "a file now")
        told = desk.run("run", "job.yaml", "-q")
        assert (told.code, told.err) == (0, "")
        assert there.bill()["requests"] == 3


def test_a_plan_reads_the_copy_and_writes_nothing(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        prompts = of_file(desk, there.base_url)
        begun(desk)
        prompts.unlink()
        before = as_it_lies(desk.folder)
        told = desk.run("plan", "job.yaml", "--json")
        assert as_it_lies(desk.folder) == before
    assert (told.objects[-1]["new"], told.objects[-1]["made"]) == (2, 1)
    assert "going on from the copy in out/.state/prompts.txt" in told.err


def test_where_there_is_no_copy_prompts_that_are_gone_are_65(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        of_file(desk, there.base_url, "one/prompts.txt")
        begun(desk)
        desk.job("{file: another/prompts.txt}", base_url=there.base_url)
        of_another = desk.run("run", "job.yaml")
        (desk.folder / "one/prompts.txt").unlink()
        desk.job("{file: one/prompts.txt}", base_url=there.base_url)
        elsewhere = desk.run("run", "job.yaml", "--out", "elsewhere")
        (desk.out / ".state/prompts.txt").unlink()
        lost = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 1
    assert of_another.code == elsewhere.code == lost.code == 65
    assert of_another.err.startswith("another/prompts.txt: cannot read the prompts: No such file")
    assert lost.err.startswith("one/prompts.txt: cannot read the prompts: No such file")
    assert not (desk.folder / "elsewhere").exists()


def test_faults_of_the_copy_are_told_of_the_file_it_was_made_from(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        prompts = of_file(desk, there.base_url, "prompts.csv")
        begun(desk)
        prompts.unlink()
        told = desk.run("run", "job.yaml", "--set", "prompts.column=text")
    gone, fault, *_ = told.err.splitlines()
    assert told.code == 65
    assert gone.startswith("prompts.csv is gone")
    assert fault.startswith("prompts.csv:1: prompts.column: there is no column `text`")


def test_prompts_that_are_there_win_over_the_copy_whatever_they_say(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        prompts = of_file(desk, there.base_url)
        assert desk.run("run", "job.yaml").code == 0
        prompts.write_text("one\ntwo, brighter\nthree\nfour\n")
        changed = desk.run("run", "job.yaml", "--json")
        assert (changed.summary["made_now"], changed.summary["unwanted"]) == (2, 1)
        assert (changed.summary["made"], changed.summary["wanted"]) == (4, 4)
        assert (desk.out / ".state/prompts.txt").read_text() == prompts.read_text()
        prompts.write_text("\n")
        assert desk.run("run", "job.yaml").code == 65
        prompts.unlink()
        assert desk.run("run", "job.yaml", "--json").summary["wanted"] == 4
        assert there.bill()["requests"] == 5
    assert status_of(desk) == (4, 0, 1)
    check_whole(desk.out)


def test_prompts_are_copied_when_they_are_news_and_not_at_every_run(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        prompts = of_file(desk, there.base_url)
        prompts.write_text(f"one\n{' ' * 3_000_000}\ntwo\n")  # of more than one piece
        begun(desk)
        copy = desk.out / ".state/prompts.txt"
        first = copy.stat().st_ino
        assert desk.run("run", "job.yaml").code == 0
        assert copy.stat().st_ino == first
        assert copy.read_bytes() == prompts.read_bytes()
        prompts.write_text("one\n")
        assert desk.run("run", "job.yaml").code == 0
    assert copy.read_text() == "one\n"


def test_one_copy_is_kept_of_the_file_the_job_reads_now(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        for name in ("prompts.csv", "prompts.jsonl"):
            of_file(desk, there.base_url, name)
            begun(desk)
            kept = [one.name for one in (desk.out / ".state").glob("prompts.*")]
            assert kept == [name]
        desk.job('{file: "-"}', base_url=there.base_url)
        nothing = desk.run("run", "job.yaml")  # what is kept came from elsewhere
        assert nothing.code == 65
        assert "<stdin>" in nothing.err
        desk.job(["one"], base_url=there.base_url)
        begun(desk)
    assert not list((desk.out / ".state").glob("prompts.*"))


# The job that is frozen in the folder


@pytest.mark.parametrize("prompts", ["there", "changed", "gone"])
def test_the_frozen_job_goes_on_in_its_folder_from_anywhere(
    desk: Desk, provider: Serving, monkeypatch: pytest.MonkeyPatch, prompts: str
) -> None:
    with provider(QUICK) as there:
        file = of_file(desk, there.base_url)
        begun(desk)
        (desk.folder / "job.yaml").unlink()
        if prompts == "gone":
            file.unlink()
        elif prompts == "changed":
            file.write_text("one\ntwo\nfour\nfive\n")
        elsewhere = desk.folder / "else where"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        n_wanted = 4 if prompts == "changed" else 3
        plan = desk.run("plan", "../out/job.yaml", "--json").objects[-1]
        assert (plan["made"], plan["new"]) == (1, n_wanted - 1)
        stopped = desk.run("run", "../out/job.yaml", "--max-runtime", "0")
        assert stopped.code == 4
        assert next_of(stopped) == ["run", "../out/job.yaml"]
        assert desk.run(*next_of(stopped)).code == 0
        assert there.bill()["requests"] == n_wanted
        assert not list(elsewhere.iterdir())
        monkeypatch.chdir(desk.out)
        again = desk.run("run", "job.yaml", "--json")
        assert (again.code, again.summary["made"], again.summary["requests"]) == (0, n_wanted, 0)
    assert ("is gone" in again.err) == (prompts == "gone")
    check_whole(desk.out)


@pytest.mark.parametrize("prompts", ["listed", "in a file", "on standard input"])
def test_a_folder_that_was_moved_goes_on_where_it_is(
    desk: Desk, provider: Serving, tmp_path: Path, prompts: str
) -> None:
    with provider(QUICK) as there:
        stdin = ""
        if prompts == "listed":
            desk.job(["one", "two", "three"], base_url=there.base_url)
        elif prompts == "in a file":
            of_file(desk, there.base_url)
        else:
            desk.job('{file: "-"}', base_url=there.base_url)
            stdin = PROMPTS["prompts.jsonl"]
        assert desk.run("run", "job.yaml", "--limit", "1", stdin=stdin).code == 0
        moved = desk.out.rename(tmp_path / "archive")
        for one in ("job.yaml", "prompts.txt"):
            (desk.folder / one).unlink(missing_ok=True)
        assert desk.run("run", "archive/job.yaml").code == 0
        assert there.bill()["requests"] == 3
        assert status_of(desk, "archive") == (3, 0, 0)
        assert next_of(desk.run("run", "archive/job.yaml")) == ["status", "archive"]
    assert not desk.out.exists()
    assert not (desk.folder / "outputs").exists()
    check_whole(moved)


def test_a_copy_without_its_hidden_part_goes_on_too(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        desk.job(["one", "two"], base_url=there.base_url)
        begun(desk)
        hidden = shutil.ignore_patterns(".*")
        shutil.copytree(desk.out, desk.folder / "copied", ignore=hidden)
        assert desk.run("run", "copied/job.yaml").code == 0
        assert there.bill()["requests"] == 2
    check_whole(desk.folder / "copied")


def test_the_frozen_job_is_as_the_first_run_had_it(desk: Desk, provider: Serving) -> None:
    """Flags and environment were resolved; what a limit left is owed."""
    with provider(QUICK) as there:
        desk.job(["one", "two"])
        desk.provider(there.base_url)
        words = ("--set", "samples=2", "--set", "model=another", "--limit", "1")
        assert desk.run("run", "job.yaml", "--provider", "there.yaml", *words).code == 0
        assert desk.run("run", "out/job.yaml").code == 0
        assert there.bill()["requests"] == 4
    assert {line["model"] for line in desk.lines} == {"another"}
    assert {line["provider"] for line in desk.lines} == {"there"}


def test_the_frozen_job_goes_where_else_it_is_told_to(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        desk.job(["one"], base_url=there.base_url)
        begun(desk)
        for words in (
            ("--out", "by-flag"),
            ("--set", "output.dir=by-set"),
            ("--set", "name=renamed"),
        ):
            assert desk.run("run", "out/job.yaml", *words).code == 0
        desk.environ(IMAGEBATCH_OUT="by-environment")
        assert desk.run("run", "out/job.yaml").code == 0
        assert there.bill()["requests"] == 5
    folders = ("by-flag", "by-set", "by-environment", "outputs/renamed")
    assert all((desk.folder / one / "manifest.jsonl").is_file() for one in folders)
    assert status_of(desk) == (1, 0, 0)


def test_a_job_that_a_person_calls_job_yaml_stays_an_ordinary_one(desk: Desk) -> None:
    desk.write("work/job.yaml", "prompts: [one]\n")
    assert desk.run("run", "work/job.yaml").code == 0
    assert (desk.folder / "outputs/job-simulator/manifest.jsonl").is_file()
    assert desk.run("run", "outputs/job-simulator/job.yaml", "--json").summary["requests"] == 0
    assert [one.name for one in (desk.folder / "outputs").iterdir()] == ["job-simulator"]


def test_pictures_that_rows_name_are_found_from_where_the_job_was(
    desk: Desk, provider: Serving, tmp_path: Path
) -> None:
    picture(desk.folder / "home/photos/cat.png")
    picture(desk.folder / "home/photos/dog.png")
    desk.write(
        "home/rows.csv",
        "prompt,photo,references\nin oil,cat,\nin ink,dog,\ndrawn,,photos/dog.png\n",
    )
    with provider(QUICK) as there:
        desk.provider(there.base_url)
        text = "prompts: {file: rows.csv}\nreferences: ['photos/{{photo}}.png']\n"
        desk.write("home/job.yaml", f"provider: ../there.yaml\n{text}")
        assert desk.run("run", "home/job.yaml", "--out", "out", "--limit", "1").code == 0
        desk.out.rename(tmp_path / "archive")
        for _ in range(2):
            told = desk.run("run", "archive/job.yaml", "--json")
            assert (told.code, told.summary["made"]) == (0, 3), told.err
        assert there.bill()["requests"] == 3


def test_a_rerun_of_a_copied_folder_ends_with_the_command_that_goes_on_in_the_copy(
    desk: Desk, provider: Serving, tmp_path: Path
) -> None:
    with provider(ODD_ONCE) as there:
        desk.job(["odd", "even"], base_url=there.base_url)
        assert desk.run("run", "job.yaml", "--limit", "1").code == 3
        assert desk.run("run", "out/job.yaml", "--limit", "1").code == 3
        shutil.copytree(desk.out, tmp_path / "archive")
        told = desk.run("rerun", "archive")
        assert next_of(told) == ["run", "archive/job.yaml"]
        assert desk.run(*next_of(told)).code == 0
        assert there.bill()["requests"] == 3
    assert status_of(desk, "archive") == (2, 0, 0)
    assert status_of(desk) == (0, 1, 0)


def test_from_python_the_frozen_job_goes_on_in_its_folder_too(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        prompts = of_file(desk, there.base_url)
        begun(desk)
        prompts.unlink()
        report = run(load_job("out/job.yaml"))
        assert (report.exit_code, report.made, report.output.name) == (0, 3, "out")
        assert there.bill()["requests"] == 3


# A changed job, the same folder


def test_only_what_changed_is_sent_and_what_is_no_longer_wanted_is_counted_apart(
    desk: Desk, provider: Serving
) -> None:
    prompts = [f"a house with {n} rooms" for n in range(6)]
    with provider(QUICK) as there:
        desk.job(prompts, base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 0
        desk.job([*prompts[2:], "a hut"], base_url=there.base_url)
        told = desk.run("run", "job.yaml")
        assert there.bill()["requests"] == 7
        first, *_ = told.out.splitlines()
        assert "made 5 of 5" in first
        assert first.endswith("2 no longer wanted")
        assert not told.err
        assert status_of(desk) == (5, 0, 2)
        assert "no longer wanted by the job: 2 tasks" in desk.run("status", "out").out
        desk.job(prompts, base_url=there.base_url)
        back = desk.run("run", "job.yaml", "--json")
        assert (back.summary["requests"], back.summary["unwanted"]) == (0, 1)
    assert len(newest(desk.out)) == 7
    check_whole(desk.out)


def test_limits_and_samples_shrink_and_grow(desk: Desk, provider: Serving) -> None:
    with provider(QUICK) as there:
        desk.job(["one", "two", "three"], base_url=there.base_url)

        def told(*words: str) -> tuple[int, ...]:
            ended = desk.run("run", "job.yaml", "--json", *words)
            assert not ended.err
            return tuple(ended.summary[n] for n in ("made", "wanted", "unwanted", "requests"))

        assert told("--limit", "2") == (2, 2, 0, 2)
        assert told("--limit", "1") == (1, 1, 0, 0)
        assert told() == (3, 3, 0, 1)
        assert told("--set", "samples=3") == (9, 9, 0, 6)
        assert told("--set", "samples=2", "--limit", "4") == (4, 4, 3, 0)
        assert told() == (3, 3, 6, 0)
        assert status_of(desk) == (3, 0, 6)
        assert told("--set", "samples=3") == (9, 9, 0, 0)
        assert there.bill()["requests"] == 9


def test_a_folder_of_another_name_is_refused_unless_it_is_adopted(
    desk: Desk, provider: Serving
) -> None:
    with provider(QUICK) as there:
        desk.job(["one"], base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 0
        before = as_it_lies(desk.out)
        desk.job(["one", "two"], base_url=there.base_url, more="name: another\n")
        refused = desk.run("run", "job.yaml")
        assert refused.code == 73
        assert "belongs to the job 'job', not to 'another'" in refused.err
        assert "--adopt" in refused.err
        holder = desk.out / ".state/lock"
        kept = {name: what for name, what in before.items() if name != str(holder)}
        assert {n: w for n, w in as_it_lies(desk.out).items() if n != str(holder)} == kept
        assert there.bill()["requests"] == 1
        assert desk.run("run", "job.yaml", "--adopt", "--json").summary["made"] == 2
        assert there.bill()["requests"] == 2
        assert desk.run("run", "out/job.yaml").code == 0
        desk.job(["one"], base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 73


def test_that_most_of_a_folder_is_no_longer_wanted_is_said_once(
    desk: Desk, provider: Serving
) -> None:
    """A template was edited, or two job files have one name: either may be a mistake."""
    with provider(QUICK) as there:
        desk.job(["one", "two", "three"], base_url=there.base_url)
        assert not desk.run("run", "job.yaml").err
        desk.job(["four", "two", "three"], base_url=there.base_url)
        assert not desk.run("run", "job.yaml").err
        desk.provider(there.base_url)
        text = "provider: ../there.yaml\nprompts: [a fox, a city]\n"
        desk.write("another/job.yaml", text)
        told = desk.run("run", "another/job.yaml", "--out", "out", "--limit", "1")
        assert told.code == 0
        assert told.err == (
            "3 of 4 tasks in out are no longer wanted by this job: they stay, counted apart."
            " If they are another job's, stop this run and choose another folder with --out\n"
        )
        assert not desk.run("run", "another/job.yaml", "--out", "out").err
    assert status_of(desk) == (2, 0, 4)
