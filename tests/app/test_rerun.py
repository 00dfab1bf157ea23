"""A rerun asks for what failed exactly as it was asked for, and says what gets on afterwards."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest
from commands import newest

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from pathlib import Path

    from commands import Desk, Ended, Serving

RULES = (
    FaultRule(fault="refused", prompt="forbidden"),
    FaultRule(fault="server_error", prompt="unlucky"),
)
STRICT = Simulation(latency_s=0, image_size="64x64", rules=RULES)
MORE = "retry: {attempts: 1}\nlimits: {concurrency: 1}\n"


def next_of(told: Ended) -> str:
    last: str = told.out.splitlines()[-1]
    return last.removeprefix("next: ")


@pytest.mark.parametrize("how", ["flag", "its profile was edited"])
def test_a_simulator_never_fills_a_real_folder(desk: Desk, provider: Serving, how: str) -> None:
    with provider(STRICT) as there:
        desk.job(["forbidden"], base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 3
    before = (desk.out / "manifest.jsonl").read_bytes()
    if how != "flag":
        desk.write("there.yaml", "simulator: {latency_s: 0}\n")
    told = desk.run("rerun", "out", *(("--provider", "simulator") if how == "flag" else ()))
    assert told.code == 2
    assert "never passes for a real one" in told.err
    assert "--out of its own" in told.err
    assert (desk.out / "manifest.jsonl").read_bytes() == before


@pytest.mark.parametrize("is_noted", [True, False])
def test_a_real_provider_never_fills_a_simulated_folder(
    desk: Desk, provider: Serving, *, is_noted: bool
) -> None:
    """Also where the folder was copied without its hidden part: its frozen job tells."""
    desk.write("refusing.yaml", "simulator: {latency_s: 0, rules: [{fault: refused}]}\n")
    desk.job(["forbidden"], more="provider: ./refusing.yaml\n")
    assert desk.run("run", "job.yaml").code == 3
    if not is_noted:
        (desk.out / ".state/plan.json").unlink()
    with provider(STRICT) as there:
        desk.provider(there.base_url)
        told = desk.run("rerun", "out", "--provider", "there.yaml")
        assert there.bill()["requests"] == 0
    assert told.code == 2
    assert "never passes for a real one" in told.err
    again = desk.run("rerun", "out", "--provider", "simulator")
    assert (again.code, len(newest(desk.out))) == (0, 1)


def test_a_rerun_asks_the_folder_and_not_the_environment(desk: Desk, provider: Serving) -> None:
    with provider(STRICT) as there:
        desk.job(["forbidden"], base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 3
        desk.environ(IMAGEBATCH_PROVIDER="simulator", IMAGEBATCH_OUT="elsewhere")
        assert desk.run("rerun", "out").code == 3
        assert there.bill()["requests"] == 2
    assert not (desk.folder / "elsewhere").exists()


def test_a_profile_that_was_moved_can_be_named_anew(desk: Desk, provider: Serving) -> None:
    with provider(STRICT) as there:
        desk.job(["forbidden"], base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 3
        (desk.folder / "there.yaml").rename(desk.folder / "moved.yaml")
        assert desk.run("rerun", "out").code == 78
        assert desk.run("rerun", "out", "--provider", "moved.yaml").code == 3
        assert there.bill()["requests"] == 2


@pytest.mark.parametrize(
    "setting",
    ["model=x", "template=x", "prompts=[b]", "seed=3", "output.path=x", "provider=knox", "stopp=1"],
)
def test_a_setting_that_a_rerun_cannot_follow_is_refused_by_name(desk: Desk, setting: str) -> None:
    desk.job(["a"])
    assert desk.run("run", "job.yaml").code == 0
    told = desk.run("rerun", "out", "--set", "retry.attempts=2", "--set", setting)
    assert told.code == 2
    assert f"--set {setting.partition('=')[0]}: rerun asks for each task exactly as" in told.err


def test_settings_of_how_to_ask_are_followed(desk: Desk, provider: Serving) -> None:
    with provider(STRICT) as there:
        desk.job(["unlucky"], base_url=there.base_url, more=MORE)
        assert desk.run("run", "job.yaml").code == 3
        settings = ("retry.attempts=3", "retry.max_wait=0.01", "limits.concurrency=2")
        more = ("timeouts.idle=9", "stop.grace_int=1", "output.durability=process")
        words = [word for one in (*settings, *more) for word in ("--set", one)]
        assert desk.run("rerun", "out", *words).code == 3
        assert there.bill()["requests"] == 4
    assert desk.run("rerun", "out", "--set", "retry.attempts=none").code == 65
    assert desk.run("rerun", "out", "--set", "retry").code == 2


def test_a_stopped_rerun_goes_on_with_what_it_chose_alone(desk: Desk, provider: Serving) -> None:
    with provider(STRICT) as there:
        rows = [{"prompt": f"{word} {n}", "id": f"{word}-{n}"} for n in (1, 2) for word in WORDS]
        desk.job(json.dumps(rows), base_url=there.base_url, more=MORE)
        assert desk.run("run", "job.yaml").code == 3
        chosen = ("--why", "refused", "--why", "lost", "--id", "forbidden-1,forbidden-2")
        words = ("--set", "retry.refused=1", "--max-runtime", "0")
        told = desk.run("rerun", "out", *chosen, *words)
        assert told.code == 4
        assert next_of(told) == (
            "imagebatch rerun out --why refused,lost --id forbidden-1,forbidden-2"
            " --set retry.refused=1"
        )
        n_before = there.bill()["requests"]
        assert desk.run(*shlex.split(next_of(told))[1:]).code == 3
        assert there.bill()["requests"] == n_before + 2


WORDS = ("forbidden", "unlucky")


def test_what_the_rerun_did_not_choose_is_left_to_a_run(desk: Desk, provider: Serving) -> None:
    """The refused ones were asked for and refused again; a run asks for the unlucky one alone."""
    with provider(STRICT) as there:
        desk.job(["forbidden", "unlucky"], base_url=there.base_url, more=MORE)
        assert desk.run("run", "job.yaml").code == 3
        assert next_of(desk.run("rerun", "out", "--why", "refused")) == "imagebatch run job.yaml"
        with_hope = desk.run("rerun", "out", "--why", "server_error")
        assert next_of(with_hope) == "imagebatch rerun out --why server_error"
        (desk.folder / "job.yaml").unlink()
        told = desk.run("rerun", "out", "--why", "refused")
        assert next_of(told) == "imagebatch rerun out --why server_error"


def test_what_was_not_chosen_is_not_bought_by_the_next_command(
    desk: Desk, provider: Serving
) -> None:
    with provider(STRICT) as there:
        rows = [{"prompt": f"forbidden {n}", "id": f"row-{n}"} for n in range(3)]
        desk.job(json.dumps(rows), base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 3
        told = desk.run("rerun", "out", "--id", "row-1")
        assert next_of(told) == "imagebatch rerun out --id row-1"
        assert next_of(desk.run("rerun", "out")) == "imagebatch rerun out --why refused"


def with_one_owed(desk: Desk, base_url: str, *words: str) -> None:
    """A folder that holds a failure of the first prompt and owes the second."""
    desk.job(["odd", "even"], base_url=base_url, more=MORE)
    assert desk.run("run", "job.yaml", "--limit", "1", *words).code == 3


ODD_ONCE = Simulation(
    latency_s=0, image_size="64x64", rules=(FaultRule(fault="refused", prompt="odd", attempt=1),)
)


def test_what_was_never_asked_for_is_left_to_a_run_of_the_job(
    desk: Desk, provider: Serving
) -> None:
    with provider(ODD_ONCE) as there:
        with_one_owed(desk, there.base_url, "--set", "samples=1")
        told = desk.run("rerun", "out")
        assert (told.code, next_of(told)) == (3, "imagebatch run job.yaml --set samples=1")
        assert desk.run(*shlex.split(next_of(told))[1:]).code == 0
        assert there.bill()["requests"] == 3


def test_the_run_told_is_the_one_that_made_the_folder_wherever_it_is_pasted(
    desk: Desk, provider: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider(ODD_ONCE) as there:
        desk.environ(IMAGEBATCH_OUT="by env")
        with_one_owed(desk, there.base_url)
        monkeypatch.delenv("IMAGEBATCH_OUT")
        elsewhere = desk.folder / "else where"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        told = desk.run("rerun", "../by env")
        home = shlex.quote(str(desk.folder))
        assert next_of(told) == f"cd {home} && imagebatch run job.yaml --out 'by env'"


def test_a_folder_that_was_moved_is_not_made_anew(desk: Desk, provider: Serving) -> None:
    with provider(ODD_ONCE) as there:
        with_one_owed(desk, there.base_url)
        moved = desk.out.rename(desk.folder / "moved")
        told = desk.run("rerun", "moved")
        assert next_of(told) == f"imagebatch run job.yaml --out {moved}"
        assert desk.run(*shlex.split(next_of(told))[1:]).code == 0
        assert there.bill()["requests"] == 3
    assert not desk.out.exists()


@pytest.mark.parametrize("change", ["no job file", "no note", "a note that is none"])
def test_where_nobody_knows_the_job_file_the_frozen_one_gets_on(
    desk: Desk, provider: Serving, change: str
) -> None:
    with provider(ODD_ONCE) as there:
        with_one_owed(desk, there.base_url)
        spoil(desk.out / ".state/plan.json", desk.folder / "job.yaml", change)
        told = desk.run("rerun", "out")
        assert next_of(told) == "imagebatch run out/job.yaml"
        assert desk.run(*shlex.split(next_of(told))[1:]).code == 0
        assert there.bill()["requests"] == 3


def spoil(note: Path, job: Path, change: str) -> None:
    said = json.loads(note.read_bytes())
    if change == "no job file":
        job.unlink()
    elif change == "no note":
        note.write_text(json.dumps({"wanted": said["wanted"], "unwanted": []}))
    else:
        said["origin"]["words"].append("\x1b[2J")
        note.write_text(json.dumps(said))


@pytest.mark.parametrize("first", ["real", "simulated"])
def test_a_run_of_the_other_kind_is_refused_a_folder_that_holds_anything(
    desk: Desk, provider: Serving, first: str
) -> None:
    with provider(STRICT) as there:
        desk.job(["a fox"], base_url=there.base_url)
        kinds = {"real": (), "simulated": ("--provider", "simulator")}
        other = kinds["simulated" if first == "real" else "real"]
        assert desk.run("run", "job.yaml", *kinds[first]).code == 0
        before = (desk.out / "manifest.jsonl").read_bytes()
        n_asked = there.bill()["requests"]
        told = desk.run("run", "job.yaml", *other)
        assert told.code == 73
        assert f"holds {first} images" in told.err
        assert there.bill()["requests"] == n_asked
        assert (desk.out / "manifest.jsonl").read_bytes() == before
        assert desk.run("run", "job.yaml", *other, "--adopt").code == 0
