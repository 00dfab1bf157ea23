"""``verify`` as a person and a program have it: what it prints and returns, whom it lets be."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from commands import next_event

from pipeline.core.simulation import FaultRule, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable

    from commands import Desk, Serving

SMALL = Simulation(latency_s=0, image_size="64x64")


@pytest.fixture
def made(desk: Desk, provider: Serving) -> Desk:
    """A folder with thirty images."""
    with provider(SMALL) as there:
        desk.job([f"prompt {number}" for number in range(30)], base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 0
    return desk


def lose(desk: Desk, n_images: int) -> list[str]:
    lost = [one["images"][0]["file"] for one in desk.lines[:n_images]]
    for name in lost:
        (desk.out / name).unlink()
    return lost


def test_a_sound_folder_is_told_in_one_line(made: Desk) -> None:
    told = made.run("verify", "out")
    assert told.code == 0
    assert told.out.startswith("sound: 30 tasks made, 30 images, ")
    assert told.out.count("\n") == 1
    assert made.run("verify", "out", "-q").out == ""


def test_what_is_wrong_is_told_a_line_each_and_how_to_get_on(made: Desk) -> None:
    lost = lose(made, 25)
    told = made.run("verify", "out")
    lines = told.out.splitlines()
    assert told.code == 3
    assert lines[0] == f"{lost[0]}: missing (task {made.lines[0]['id']})"
    assert lines[20] == "… and 5 more"
    assert lines[-2].startswith("wrong: missing 25; 30 tasks made")
    assert lines[-1] == "next: imagebatch verify out --repair"
    quiet = made.run("verify", "out", "-q")
    assert (quiet.code, quiet.out) == (3, "")
    assert "wrong: missing 25" in quiet.err


def test_a_repair_names_the_run_that_makes_it_whole(made: Desk, provider: Serving) -> None:
    lose(made, 2)
    told = made.run("verify", "out", "--repair")
    assert told.code == 0
    assert told.out.splitlines()[0].endswith(", to be made again")
    assert "2 tasks owed again" in told.out
    assert told.out.splitlines()[-1] == "next: imagebatch run job.yaml"
    with provider(SMALL) as there:
        made.provider(there.base_url)
        assert made.run("run", "job.yaml").code == 0
        assert there.bill()["requests"] == 2


def test_a_rerun_makes_it_whole_from_the_folder_alone(made: Desk, provider: Serving) -> None:
    lose(made, 2)
    assert made.run("verify", "out", "--repair").code == 0
    again = made.lines[-1]
    assert (again["status"], again["why"], again["images"]) == ("failed", "bad_image", [])
    assert again["detail"].startswith("verify: images/000/")
    assert again["cost_usd"] is None
    (made.folder / "job.yaml").unlink()
    with provider(SMALL) as there:
        made.provider(there.base_url)
        assert made.run("rerun", "out", "--provider", "there.yaml").code == 0
    assert made.run("verify", "out").code == 0


def test_json_holds_a_finding_a_line_and_a_summary(made: Desk) -> None:
    lost = lose(made, 1)
    told = made.run("verify", "out", "--json")
    assert told.objects[0] == {
        "event": "finding",
        "kind": "missing",
        "file": lost[0],
        "id": made.lines[0]["id"],
        "detail": None,
        "repaired": False,
    }
    summary = told.summary
    assert summary["sound"] is False
    assert summary["findings"] == {"missing": 1}
    assert summary["checked_images"] == 30
    mended = made.run("verify", "out", "--json", "--repair")
    assert mended.objects[0]["repaired"] is True
    assert mended.summary["sound"] is True
    assert mended.summary["repaired"] == 1
    assert mended.summary["owed_again"] == 1


def test_a_run_that_stops_over_a_damaged_manifest_names_the_repair(
    made: Desk, provider: Serving
) -> None:
    lines = (made.out / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (made.out / "manifest.jsonl").write_bytes(b"".join([*lines[:3], b"x\n", *lines[3:]]))
    told = made.run("run", "job.yaml")
    assert told.code == 74
    assert "imagebatch verify --repair" in told.err
    words = told.err.split("`")[1].split()
    assert made.run(*words[1:]).code == 0
    with provider(SMALL) as there:
        made.provider(there.base_url)
        assert made.run("run", "job.yaml").code == 0
        assert there.bill()["requests"] == 0


def test_no_output_folder_is_wrong_usage(desk: Desk) -> None:
    for words in ((), ("--repair",)):
        told = desk.run("verify", "nowhere", *words)
        assert told.code == 2
        assert "no output folder" in told.err


def test_beside_a_run_it_finds_nothing_wrong_and_repairs_nothing(
    desk: Desk, provider: Serving
) -> None:
    slow = Simulation(latency_s=0.3, latency_p99_s=0.6, image_size="64x64")
    with provider(slow) as there:
        desk.job(
            [f"prompt {n}" for n in range(24)],
            base_url=there.base_url,
            more="limits: {concurrency: 8}\n",
        )
        with desk.started("run", "job.yaml", "--json") as process:
            next_event(process, "made")
            told = desk.run("verify", "out", "--json")
            refused = desk.run("verify", "out", "--repair")
            process.communicate(timeout=30)
    assert told.code == 0, told.out
    assert any("a run is going on" in one.get("detail", "") for one in told.objects)
    assert refused.code == 75
    assert "another run" in refused.err
    assert told.summary["running"] is True
    assert desk.run("verify", "out").code == 0


def test_a_repair_waits_for_a_run_to_end(desk: Desk, provider: Serving) -> None:
    slow = Simulation(latency_s=0.3, latency_p99_s=0.6, image_size="64x64")
    with provider(slow) as there:
        desk.job([f"prompt {n}" for n in range(8)], base_url=there.base_url)
        with desk.started("run", "job.yaml", "--json") as process:
            next_event(process, "made")
            waited = desk.run("verify", "out", "--repair", "--wait", "30", "--json")
            out, _ = process.communicate(timeout=30)
    assert process.returncode == 0, out
    assert (waited.code, waited.summary["made"]) == (0, 8)
    assert waited.summary["running"] is False


def test_requests_that_may_have_been_billed_are_told_and_not_wrong(made: Desk) -> None:
    said = {"send": "00ff", "attempt": 1, "run": "r0", "at": "2026-11-22T14:00:00.000Z"}
    with (made.out / ".state/journal.jsonl").open("a") as journal:
        journal.write(json.dumps(said) + "\n")
    for words in ((), ("--repair",), ()):
        told = made.run("verify", "out", "--json", *words)
        assert told.code == 0
        assert told.summary["maybe_billed"] == 1
    assert made.run("verify", "out").out.endswith("checked · maybe billed 1\n")


def test_metadata_that_a_stopped_run_left_out_is_a_remark_and_written_by_the_next(
    made: Desk, provider: Serving
) -> None:
    metadata = made.out / "metadata.jsonl"
    as_it_was = metadata.read_bytes()
    metadata.unlink()
    told = made.run("verify", "out")
    assert told.code == 0
    assert "metadata.jsonl is missing: the next run writes it\nsound: " in told.out
    with provider(SMALL) as there:
        made.provider(there.base_url)
        assert made.run("run", "job.yaml").code == 0
    assert metadata.read_bytes() == as_it_was
    metadata.unlink()
    repaired = made.run("verify", "out", "--repair", "--json")
    assert (repaired.code, repaired.summary["findings"]) == (0, {})
    assert metadata.read_bytes() == as_it_was
    metadata.write_bytes(as_it_was[:-9])
    assert made.run("verify", "out").code == 3


def test_a_folder_that_holds_no_image_lacks_no_metadata(desk: Desk, provider: Serving) -> None:
    with provider(Simulation(latency_s=0, rules=(FaultRule(fault="refused"),))) as there:
        desk.job(["a"], base_url=there.base_url)
        assert desk.run("run", "job.yaml").code == 3
    (desk.out / "metadata.jsonl").unlink(missing_ok=True)
    for words in ((), ("--repair",)):
        told = desk.run("verify", "out", *words)
        assert (told.code, "metadata" in told.out) == (0, False)


def _without_prompt(line: dict[str, Any]) -> None:
    line.update(status="failed", why="refused", images=[])
    del line["prompt"]


def _without_file(line: dict[str, Any]) -> None:
    del line["images"][0]["file"]


def _nothing_said_of_the_references(line: dict[str, Any]) -> None:
    line.update(status="failed", why="refused", images=[], references=[{}])


@pytest.mark.parametrize("hurt", [_without_prompt, _without_file, _nothing_said_of_the_references])
def test_a_line_that_lacks_what_is_read_later_stops_every_command_and_names_the_repair(
    made: Desk, hurt: Callable[[dict[str, Any]], None]
) -> None:
    lines = made.lines
    hurt(lines[3])
    (made.out / "metadata.jsonl").unlink()
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (made.out / "manifest.jsonl").write_text(text)
    for words in (("run", "job.yaml"), ("rerun", "out"), ("status", "out"), ("plan", "job.yaml")):
        told = made.run(*words)
        assert (told.code, "Traceback" in told.err) == (74, False), words
        assert "damaged at line 4" in told.err
        assert "imagebatch verify --repair" in told.err
    assert made.run("verify", "out", "--json").summary["findings"]["damaged_line"] == 1
    assert made.run("verify", "out", "--repair").code == 0
    assert made.run("status", "out").code == 0


def test_a_job_that_was_lost_is_left_to_the_next_run(made: Desk) -> None:
    (made.out / "job.yaml").unlink()
    told = made.run("verify", "out")
    assert "job.yaml: missing; the next run writes it" in told.out
    repaired = made.run("verify", "out", "--repair")
    assert repaired.code == 3
    assert repaired.out.splitlines()[-1] == "next: imagebatch run job.yaml"


def test_a_directory_that_became_a_link_is_left_to_its_owner(made: Desk) -> None:
    """All images would be bought again, though they only lie elsewhere."""
    (made.out / "images").rename(made.folder / "big disk")
    (made.out / "images").symlink_to(made.folder / "big disk")
    before = (made.out / "manifest.jsonl").read_bytes()
    for words in ((), ("--repair",)):
        told = made.run("verify", "out", "--json", *words)
        assert told.code == 3
        assert told.summary["findings"] == {"blocked": 30}
    assert (made.out / "manifest.jsonl").read_bytes() == before
    (made.out / "images").unlink()
    (made.folder / "big disk").rename(made.out / "images")
    assert made.run("verify", "out").code == 0


def test_a_folder_copied_without_its_hidden_part_is_sound(made: Desk) -> None:
    shutil.rmtree(made.out / ".state")
    assert made.run("verify", "out").code == 0


def test_images_set_aside_and_copies_of_damage_are_remarks(made: Desk) -> None:
    (made.out / "images/extra.png").write_bytes(b"extra")
    with (made.out / "manifest.jsonl").open("ab") as manifest:
        manifest.write(b"torn")
    assert made.run("verify", "out", "--repair").code == 0
    told = made.run("verify", "out", "--json")
    assert told.code == 0
    remarks = [one["detail"] for one in told.objects if one["event"] == "remark"]
    assert len(remarks) == 2


def test_right_after_a_kill_nothing_is_wrong_and_the_next_run_is_said_to_finish(
    desk: Desk, provider: Serving
) -> None:
    slow = Simulation(latency_s=0.05, latency_p99_s=0.2, image_size="64x64")
    with provider(slow) as there:
        desk.job([f"prompt {number}" for number in range(30)], base_url=there.base_url)
        with desk.started("run", "job.yaml", "--json") as process:
            next_event(process, "made")
            process.kill()
            process.communicate()
    (desk.out / ".state/parts/half").write_bytes(b"an ima")
    told = desk.run("verify", "out")
    assert told.code == 0
    assert "\nsound: " in told.out
    assert "the last run was cut off: the next one finishes and clears" in told.out + told.err


def test_images_without_a_manifest_stop_the_run_before_they_are_bought_again(
    made: Desk, provider: Serving
) -> None:
    lines = (made.out / "manifest.jsonl").read_bytes()
    (made.out / "manifest.jsonl").unlink()
    with provider(SMALL) as there:
        made.job([f"prompt {number}" for number in range(30)], base_url=there.base_url)
        told = made.run("run", "job.yaml")
        assert told.code == 74
        assert "manifest.jsonl is gone, and images/000/" in told.err
        assert "imagebatch verify --repair" in told.err
        assert there.bill()["requests"] == 0
        (made.out / "manifest.jsonl").write_bytes(lines)
        assert made.run("run", "job.yaml").code == 0
        assert there.bill()["requests"] == 0
        (made.out / "manifest.jsonl").unlink()
        assert made.run("run", "job.yaml").code == 74
        assert made.run("verify", "--repair", "out").code == 0
        assert made.run("run", "job.yaml").code == 0
        assert there.bill()["requests"] == 30


def test_a_torn_end_is_told_by_the_run_that_sets_it_aside(made: Desk, provider: Serving) -> None:
    with (made.out / "manifest.jsonl").open("ab") as file:
        file.write(b"hello garbage\n")
    with provider(SMALL) as there:
        made.job([f"prompt {number}" for number in range(30)], base_url=there.base_url)
        told = made.run("run", "job.yaml")
    assert told.code == 0
    assert "the end of manifest.jsonl was torn: 14 bytes are set aside in .state/" in told.err


def test_what_is_owed_is_told_with_the_command_that_goes_on(desk: Desk, provider: Serving) -> None:
    with provider(SMALL) as there:
        desk.job([f"prompt {number}" for number in range(5)], base_url=there.base_url)
        desk.run("run", "job.yaml", "--limit", "2")
    told = desk.run("verify", "out")
    assert told.code == 0
    assert told.out.startswith("sound: 2 tasks made, 3 owed, 2 images, ")
    assert told.out.splitlines()[-1] == "next: imagebatch run job.yaml"
    assert desk.run("status", "out").out.splitlines()[-1] == "next: imagebatch run job.yaml"


def test_what_a_desktop_leaves_in_a_folder_is_no_finding(made: Desk) -> None:
    (made.out / "images/.DS_Store").write_bytes(b"\0")
    assert made.run("verify", "out").code == 0
    (made.out / "images/notes.txt").write_text("mine")
    told = made.run("verify", "out", "--repair")
    assert "images/notes.txt: unnamed, moved to .state/orphans" in told.out


def test_the_folder_instead_of_its_job_is_a_fault_that_names_the_job(made: Desk) -> None:
    told = made.run("run", "out")
    assert (told.code, "did you mean out/job.yaml?" in told.err) == (65, True)
