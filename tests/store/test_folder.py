"""The output folder: what is kept is there, named and told; nothing else is."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from keeping import (
    failed,
    files_in,
    image,
    keep_made,
    made,
    part,
    path_for,
    rows_in,
    task,
    terms,
)

from pipeline.core.model import Keep, Why
from pipeline.errors import BadOutput, BadUsage, DiskTrouble
from pipeline.store.durable import Calls, Durability
from pipeline.store.folder import Folder
from pipeline.store.opening import find
from pipeline.store.status import read_ledger, read_status

if TYPE_CHECKING:
    from pipeline.core.model import Task


def _images(root: Path) -> set[str]:
    return {name for name in files_in(root) if name.startswith("images/")}


async def test_a_made_task_is_an_image_under_its_name_and_one_line(tmp_path: Path) -> None:
    root = tmp_path / "outputs" / "sunsets"
    with Folder(root, terms()) as folder:
        receipt = await folder.keep(made(task(7), image(part(folder), b"png bytes")))
        assert receipt.files == ("images/000/000007.png",)
    assert (root / "images/000/000007.png").read_bytes() == b"png bytes"
    assert rows_in(root / "manifest.jsonl") == [receipt.record]
    assert receipt.record["images"][0]["bytes"] == 9
    assert receipt.record["run"] == "r1"


async def test_a_second_run_owes_only_what_is_not_made_and_not_failed_for_good(
    tmp_path: Path,
) -> None:
    with Folder(tmp_path, terms()) as folder:
        assert folder.ledger.owes(task(1).id)
        await keep_made(folder, 1)
        await folder.keep(failed(task(2), Why.REFUSED))
        await folder.keep(failed(task(3), Why.LOST))
        assert not folder.ledger.owes(task(1).id)
    with Folder(tmp_path, terms(run="r2")) as folder:
        owed = [number for number in range(5) if folder.ledger.owes(task(number).id)]
    assert owed == [0, 3, 4]
    assert list(read_ledger(tmp_path).ids()) == [task(number).id for number in (1, 2, 3)]


async def test_several_images_are_all_there_before_the_one_line(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        parts = image(part(folder), b"one"), image(part(folder), b"two", "image/jpeg")
        receipt = await folder.keep(made(task(1), *parts))
    assert receipt.files == ("images/000/000001.png", "images/000/000001-1.jpg")
    assert (tmp_path / receipt.files[1]).read_bytes() == b"two"
    assert len(rows_in(tmp_path / "manifest.jsonl")) == 1


@pytest.mark.parametrize(("keep", "content"), [(Keep.FIRST, b"one"), (Keep.LAST, b"two")])
async def test_an_image_the_task_does_not_keep_leaves_nothing(
    tmp_path: Path, keep: Keep, content: bytes
) -> None:
    with Folder(tmp_path, terms()) as folder:
        parts = image(part(folder), b"one"), image(part(folder), b"two")
        receipt = await folder.keep(made(task(1, keep=keep), *parts))
        assert not list((tmp_path / ".state/parts").iterdir())
    assert _images(tmp_path) == set(receipt.files) == {"images/000/000001.png"}
    assert (tmp_path / receipt.files[0]).read_bytes() == content


@pytest.mark.parametrize(
    ("media_type", "extension"),
    [
        ("image/png", "png"),
        ("image/jpeg", "jpg"),
        ("image/webp", "webp"),
        ("image/gif", "gif"),
        ("image/avif", "avif"),
    ],
)
async def test_the_extension_follows_the_bytes(
    tmp_path: Path, media_type: str, extension: str
) -> None:
    with Folder(tmp_path, terms()) as folder:
        await folder.keep(made(task(1), image(part(folder), b"x", media_type)))
    assert _images(tmp_path) == {f"images/000/000001.{extension}"}


async def test_a_discarded_part_is_gone_and_a_kept_one_cannot_be_discarded(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        begun = part(folder)
        begun.write(b"never mind")
        begun.discard()
        begun.discard()
        kept = image(part(folder))
        await folder.keep(made(task(1), kept))
        kept.part.discard()
        assert not list((tmp_path / ".state/parts").iterdir())
    assert _images(tmp_path) == {"images/000/000001.png"}


async def test_what_is_being_kept_is_kept_though_nobody_awaits_it_any_more(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        keeping = [asyncio.create_task(keep_made(folder, number)) for number in range(20)]
        await asyncio.sleep(0)
        for one in keeping:
            one.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        assert folder.standing().made == 20
    assert len(rows_in(tmp_path / "manifest.jsonl")) == len(_images(tmp_path)) == 20


async def test_a_file_in_the_way_becomes_an_orphan_and_the_line_says_so(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        await keep_made(folder, 1, b"old")
        folder.note_plan(wanted=1, unwanted=[task(1).id])
        edited = replace(task(1), id="edited", prompt="another")
        receipt = await folder.keep(made(edited, image(part(folder), b"new")))
        folder.write_metadata()
    (orphaned,) = receipt.record["orphaned"]
    assert orphaned["file"] == "images/000/000001.png"
    assert orphaned["moved_to"].startswith(".state/orphans/")
    assert (tmp_path / orphaned["moved_to"]).read_bytes() == b"old"
    assert (tmp_path / orphaned["file"]).read_bytes() == b"new"
    rows = rows_in(tmp_path / "metadata.jsonl")
    assert [row["id"] for row in rows] == ["edited"]


def _one_name(task_: Task, number: int, extension: str) -> str:
    again = f"-{number}" if number else ""
    return f"images/{task_.meta.get('row', 'one')}{again}.{extension}"


async def test_a_prompt_edited_and_edited_back_is_owed_again_each_time(tmp_path: Path) -> None:
    old, new = task(1), task(2)
    for of, other in ((old, new), (new, old), (old, new), (new, old)):
        with Folder(tmp_path, terms(path_for=_one_name)) as folder:
            assert folder.ledger.owes(of.id)
            folder.note_plan(wanted=1, unwanted={other.id} & set(folder.ledger.ids()))
            receipt = await folder.keep(made(of, image(part(folder), of.id.encode())))
            assert folder.ledger.owes(other.id)
            folder.write_metadata()
            assert [one["id"] for one in receipt.record["orphaned"]] in ([], [other.id])
            assert (folder.standing().made, folder.standing().owed) == (1, 0)
        assert read_ledger(tmp_path).counts().made == 1
        assert (tmp_path / "images/one.png").read_bytes() == of.id.encode()
        assert [row["id"] for row in rows_in(tmp_path / "metadata.jsonl")] == [of.id]
    assert len(list((tmp_path / ".state/orphans").iterdir())) == 3


async def test_a_task_that_loses_one_image_makes_way_with_all_of_them(tmp_path: Path) -> None:
    with Folder(tmp_path, terms(path_for=_one_name)) as folder:
        parts = [image(part(folder), content) for content in (b"1", b"2", b"3")]
        await folder.keep(made(task(1), *parts))
        folder.note_plan(wanted=1, unwanted=[task(1).id])
        edited = [image(part(folder), content) for content in (b"4", b"5")]
        receipt = await folder.keep(made(task(2), *edited))
        assert folder.ledger.counts().made == 1
        assert list(folder.ledger.ids()) == [task(2).id]
    assert _images(tmp_path) == set(receipt.files) == {"images/one.png", "images/one-1.png"}
    gone = {one["file"]: one["moved_to"] for one in receipt.record["orphaned"]}
    assert set(gone) == {"images/one.png", "images/one-1.png", "images/one-2.png"}
    assert (tmp_path / gone["images/one-2.png"]).read_bytes() == b"3"


@pytest.mark.parametrize("is_another_run", [False, True])
async def test_two_wanted_tasks_never_take_each_others_name(
    tmp_path: Path, *, is_another_run: bool
) -> None:
    short, long = task(1, meta={"row": "a"}), task(2, meta={"row": "a-1"})
    folder = Folder(tmp_path, terms(path_for=_one_name))
    await folder.keep(made(long, image(part(folder), b"of a-1")))
    if is_another_run:
        folder.close()
        folder = Folder(tmp_path, terms(path_for=_one_name))
    with folder:
        parts = image(part(folder), b"a, 0"), image(part(folder), b"a, 1")
        receipt = await folder.keep(made(short, *parts))
        assert folder.standing().made == 2
    assert receipt.files == ("images/a.png", f"images/a-1-{short.id}.png")
    assert receipt.record["orphaned"] == []
    assert receipt.record["warnings"] == [
        f"kept beside `images/a-1.png`, which is the image of task {long.id}"
    ]
    assert (tmp_path / "images/a-1.png").read_bytes() == b"of a-1"
    assert (tmp_path / receipt.files[1]).read_bytes() == b"a, 1"


async def test_tasks_kept_at_the_same_moment_never_take_each_others_name(tmp_path: Path) -> None:
    longest = "x" * 251
    with Folder(tmp_path, terms(path_for=lambda *_: f"images/{longest}.png")) as folder:
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(keep_made(folder, number, str(number).encode()))
        assert folder.standing().made == 30
    records = rows_in(tmp_path / "manifest.jsonl")
    named = {record["images"][0]["file"]: str(record["index"]).encode() for record in records}
    assert len(named) == 30
    assert _images(tmp_path) == set(named)
    assert all((tmp_path / name).read_bytes() == content for name, content in named.items())
    assert not list((tmp_path / ".state/orphans").iterdir())
    assert max(len(Path(name).name) for name in named) == 255


@pytest.mark.parametrize("seed", range(6))
async def test_however_tasks_get_in_each_others_way_files_and_lines_agree(
    tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    conditions = terms(path_for=_one_name, durability=Durability.PROCESS)
    for generation in range(4):
        numbers = range(generation * 25, generation * 25 + 25)
        with Folder(tmp_path, conditions) as folder:
            before = sorted(folder.ledger.ids())
            unwanted = {task_id for task_id in before if rng.random() < 0.6}
            folder.note_plan(wanted=0, unwanted=unwanted)
            async with asyncio.TaskGroup() as group:
                for number in numbers:
                    row = rng.choice("abcd") + rng.choice(["", "-1", "-2"])
                    contents = [f"{number}/{n}".encode() for n in range(rng.randint(1, 3))]
                    images = (image(part(folder), content) for content in contents)
                    group.create_task(folder.keep(made(task(number, meta={"row": row}), *images)))
            folder.write_metadata()
        ledger = read_ledger(tmp_path)
        paid = {task(number).id for number in numbers} | (set(before) - unwanted)
        assert paid <= set(ledger.ids()) == set(folder.ledger.ids())
        lines = [
            line for line in rows_in(tmp_path / "manifest.jsonl") if line["id"] in ledger.ids()
        ]
        named = {i["file"]: i["sha256"] for line in lines for i in line["images"]}
        assert len(named) == sum(len(line["images"]) for line in lines)
        assert _images(tmp_path) == set(named)
        assert {row["file_name"] for row in rows_in(tmp_path / "metadata.jsonl")} == set(named)
        for name, sha256 in named.items():
            assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == sha256


async def test_a_file_of_the_users_own_stays_where_it_is_after_a_clean_run(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        await keep_made(folder, 1)
    (tmp_path / "images/notes.txt").write_text("mine")
    with Folder(tmp_path, terms()):
        pass
    assert (tmp_path / "images/notes.txt").read_text() == "mine"


class _Full:
    """A disk that is full from the n-th write on, until room is made."""

    def __init__(self, n_writes: int) -> None:
        self.left: float = n_writes

    def write(self, fd: int, piece: bytes | memoryview) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, "injected")
        return os.write(fd, piece)


@pytest.mark.parametrize("durability", Durability)
@pytest.mark.parametrize("n_writes", range(12))
async def test_wherever_the_disk_fills_up_the_folder_stays_true_and_goes_on_after_room_is_made(
    tmp_path: Path, n_writes: int, durability: Durability
) -> None:
    full = _Full(n_writes)
    acknowledged: list[int] = []
    try:
        conditions = terms(durability=durability)
        with Folder(tmp_path, conditions, calls=Calls(write=full.write)) as folder:
            for number in range(4):
                await keep_made(folder, number)
                acknowledged.append(number)
    except DiskTrouble as trouble:
        assert "free some space, then run the same command again" in str(trouble)  # noqa: PT017
    if (tmp_path / "manifest.jsonl").exists():
        assert [line["index"] for line in rows_in(tmp_path / "manifest.jsonl")] == acknowledged
        assert _images(tmp_path) == {path_for(task(n), 0, "png") for n in acknowledged}
    with Folder(tmp_path, terms(run="r2")) as folder:
        for number in range(4):
            assert not (number in acknowledged and folder.ledger.owes(task(number).id))
            if folder.ledger.owes(task(number).id):
                await keep_made(folder, number)
    assert _images(tmp_path) == {path_for(task(number), 0, "png") for number in range(4)}
    assert len(rows_in(tmp_path / "manifest.jsonl")) == 4
    assert not list((tmp_path / ".state/parts").iterdir())


async def test_without_syncs_the_order_is_the_same_and_nothing_is_synced(tmp_path: Path) -> None:
    def never(fd: int) -> None:
        raise AssertionError(fd)

    calls = Calls(sync=never, sync_content=never)
    with Folder(tmp_path, terms(durability=Durability.PROCESS), calls=calls) as folder:
        await keep_made(folder, 1)
    assert read_status(tmp_path).made == 1


async def test_bytes_then_result_then_name_then_directory_then_line(tmp_path: Path) -> None:
    told: list[str] = []

    def path_of(fd: int) -> str:
        return os.path.relpath(Path(f"/proc/self/fd/{fd}").readlink(), tmp_path)

    def sync(fd: int) -> None:
        told.append(f"sync {path_of(fd)}")
        os.fsync(fd)

    def sync_content(fd: int) -> None:
        told.append(f"sync content {path_of(fd)}")
        os.fdatasync(fd)

    def rename(old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        told.append(f"rename {path_of(src_dir_fd)}/{old} {path_of(dst_dir_fd)}/{new}")
        os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    calls = Calls(sync=sync, sync_content=sync_content, rename=rename)
    with Folder(tmp_path, terms(), calls=calls) as folder:
        told.clear()
        await keep_made(folder, 1)
        part = f".state/parts/{task(1).id}.1.0"
        assert told == [
            f"sync {part}",
            "sync content .state/journal.jsonl",
            "sync .",
            "sync images",
            f"rename {part} images/000/000001.png",
            "sync images/000",
            "sync content manifest.jsonl",
        ]


@pytest.mark.parametrize("stranger", ["notes.txt", "photos/cat.png"])
def test_a_folder_with_other_peoples_things_is_left_alone(tmp_path: Path, stranger: str) -> None:
    (tmp_path / stranger).parent.mkdir(exist_ok=True)
    (tmp_path / stranger).write_text("mine")
    with pytest.raises(BadOutput, match=r"not an output folder of ours.*--adopt"):
        Folder(tmp_path, terms())
    assert files_in(tmp_path) == {stranger}
    Folder(tmp_path, terms(adopt=True)).close()
    assert (tmp_path / stranger).read_text() == "mine"
    Folder(tmp_path, terms()).close()


def test_the_folder_of_another_job_is_refused_until_it_is_adopted(tmp_path: Path) -> None:
    Folder(tmp_path, terms()).close()
    with pytest.raises(BadOutput, match=r"belongs to the job 'sunsets', not to 'cities'.*--adopt"):
        Folder(tmp_path, terms(job="cities"))
    Folder(tmp_path, terms(job="cities", adopt=True)).close()
    Folder(tmp_path, terms(job="cities")).close()
    with pytest.raises(BadOutput, match="belongs to the job 'cities'"):
        Folder(tmp_path, terms())


async def test_a_folder_copied_without_its_hidden_part_is_still_known(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        folder.freeze("# as resolved\nname: 'sunsets'\nprompts: [a]\n")
        await keep_made(folder, 1)
    for name in sorted(files_in(tmp_path)):
        if name.startswith(".state/"):
            (tmp_path / name).unlink()
    with pytest.raises(BadOutput, match="belongs to the job 'sunsets'"):
        Folder(tmp_path, terms(job="cities"))
    with Folder(tmp_path, terms()) as folder:
        assert not folder.ledger.owes(task(1).id)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    for root in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(BadOutput, match=r"Not a directory.*choose another with --out"):
            Folder(root, terms())


def test_a_folder_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(BadOutput, match="cannot be used as output folder"):
        Folder(Path("/proc/outputs/sunsets"), terms())


def test_a_folder_where_nothing_can_be_renamed_is_refused_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "injected")

    with pytest.raises(BadOutput, match="Read-only file system"):
        Folder(tmp_path, terms(), calls=Calls(rename=refuse))


def test_a_full_disk_is_the_disks_trouble_also_at_the_probe(tmp_path: Path) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.ENOSPC, "injected")

    with pytest.raises(DiskTrouble, match="No space left"):
        Folder(tmp_path, terms(), calls=Calls(sync=refuse))


@pytest.mark.parametrize("inside", [".state", "images"])
async def test_no_link_inside_the_folder_is_followed(tmp_path: Path, inside: str) -> None:
    root, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (root / inside).parent.mkdir(parents=True)
    (root / inside).symlink_to(elsewhere)
    with (
        pytest.raises((BadOutput, DiskTrouble)),
        Folder(root, terms(adopt=True)) as folder,
    ):
        await keep_made(folder, 1)
    assert not list(elsewhere.iterdir())


async def test_a_link_where_an_image_should_go_is_moved_not_written_through(
    tmp_path: Path,
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    root = tmp_path / "out"
    with Folder(root, terms()) as folder:
        (root / "images/000").mkdir(parents=True)
        (root / "images/000/000001.png").symlink_to(victim)
        await keep_made(folder, 1)
    assert victim.read_bytes() == b"precious"
    assert not (root / "images/000/000001.png").is_symlink()


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "big disk")
    with Folder(tmp_path / "out", terms()) as folder:
        await keep_made(folder, 1)
    assert _images(tmp_path / "big disk") == {"images/000/000001.png"}


@pytest.mark.parametrize(
    "path", ["../x.png", "images/../../x.png", "/x.png", "images//x.png", ".."]
)
async def test_a_path_that_leads_outside_costs_no_image_and_is_not_followed(
    tmp_path: Path, path: str
) -> None:
    root = tmp_path / "out"
    with Folder(root, terms(path_for=lambda *_: path)) as folder:
        await keep_made(folder, 1)
    assert _images(root) == {f"images/000/000001-{task(1).id}.png"}
    assert not (tmp_path / "x.png").exists()


async def test_an_image_that_no_path_can_be_made_for_is_kept_under_a_plain_name(
    tmp_path: Path,
) -> None:
    def nameless(*_: Any) -> str:
        raise ValueError("`{{n:05}}` needs a number")

    with Folder(tmp_path, terms(path_for=nameless)) as folder:
        parts = image(part(folder), b"one"), image(part(folder), b"two")
        receipt = await folder.keep(made(task(1234), *parts))
    plain = f"images/001/001234-{task(1234).id}"
    assert receipt.files == (f"{plain}.png", f"{plain}-1.png")
    assert _images(tmp_path) == set(receipt.files)
    assert receipt.record["warnings"] == 2 * [
        "kept under a plain name, since output.path gives none: `{{n:05}}` needs a number"
    ]


def test_the_job_is_frozen_whole_and_written_only_when_it_says_something_new(
    tmp_path: Path,
) -> None:
    for said in ("name: a\n", "name: a\n", "name: a\nsamples: 2\n"):
        with Folder(tmp_path, terms(job="a")) as folder:
            folder.freeze("name: a\n")
            before = (tmp_path / "job.yaml").stat().st_ino
            folder.freeze(said)
            assert (tmp_path / "job.yaml").read_text() == said
            is_news = said != "name: a\n"
            assert ((tmp_path / "job.yaml").stat().st_ino != before) == is_news


async def test_failed_tasks_are_chosen_by_reason_and_by_either_id(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        for number, why in enumerate([Why.REFUSED, Why.LOST, Why.REFUSED, Why.NO_IMAGE]):
            await folder.keep(failed(task(number, meta={"id": f"row {number}", "n": number}), why))
        await keep_made(folder, 4, meta={"id": 4})
        await folder.keep(failed(task(0, meta={"id": "row 0", "n": 0}), Why.REFUSED))
    with Folder(tmp_path, terms()) as folder:

        def chosen(**how: list[str]) -> list[int]:
            picked = folder.chosen(**how)
            tasks = list(picked)
            assert len(picked) == len(tasks)
            return sorted(one.meta["n"] for one in tasks)

        assert chosen() == [0, 1, 2, 3]
        assert chosen(whys=["refused"]) == [0, 2]
        assert chosen(whys=["refused", "lost"]) == [0, 1, 2]
        assert chosen(ids=["row 1", task(3).id]) == [1, 3]
        assert chosen(whys=["refused"], ids=["row 1", "row 2"]) == [2]
        assert chosen(whys=["timeout"]) == []
        assert chosen(ids=["4"]) == []
        with pytest.raises(BadUsage, match=r"--id row 9: no such task here; failed here: row 0, "):
            chosen(ids=["row 1", "row 9"])
        with pytest.raises(BadUsage, match="no such reason"):
            chosen(whys=["tired"])
        assert next(iter(folder.chosen(ids=["row 3"]))) == task(3, meta={"id": "row 3", "n": 3})


async def test_metadata_has_a_row_per_image_in_plan_order_with_every_column(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        two = image(part(folder), b"one"), image(part(folder), b"two")
        await folder.keep(made(task(2, meta={"prompt": "mine", "district": None}), *two))
        await keep_made(folder, 1, meta={"id": 8, "file_name": "f"}, vars={"style": "oil"}, seed=7)
        await folder.keep(failed(task(0)))
        await keep_made(folder, 0, vars={"id": "axis"}, sample=1)
        folder.write_metadata()
    rows = rows_in(tmp_path / "metadata.jsonl")
    assert [row["file_name"] for row in rows] == [
        "images/000/000000.png",
        "images/000/000001.png",
        "images/000/000002.png",
        "images/000/000002-1.png",
    ]
    assert " ".join(rows[0]) == (
        "file_name prompt id index sample model seed aspect_ratio image_size width height"
        " meta_prompt district meta_id meta_file_name style vars_id"
    )
    assert all(list(row) == list(rows[0]) for row in rows)
    assert rows[1] | {"id": 0} == {
        "file_name": "images/000/000001.png",
        "prompt": "prompt 1",
        "id": 0,
        "index": 1,
        "sample": 0,
        "model": "m",
        "seed": 7,
        "aspect_ratio": None,
        "image_size": None,
        "width": 1024,
        "height": 768,
        "meta_prompt": None,
        "district": None,
        "meta_id": 8,
        "meta_file_name": "f",
        "style": "oil",
        "vars_id": None,
    }


async def test_metadata_is_written_again_only_when_something_changed(tmp_path: Path) -> None:
    def written(root: Path) -> int:
        return (root / "metadata.jsonl").stat().st_ino

    with Folder(tmp_path, terms()) as folder:
        await keep_made(folder, 1)
        folder.write_metadata()
    before = written(tmp_path)
    with Folder(tmp_path, terms()) as folder:
        folder.write_metadata()
        assert written(tmp_path) == before
        await keep_made(folder, 2)
        folder.write_metadata()
    assert len((tmp_path / "metadata.jsonl").read_bytes().splitlines()) == 2


async def test_status_reads_a_folder_while_a_run_writes_to_it(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        folder.note_plan(wanted=10)
        await keep_made(folder, 1)
        await folder.keep(failed(task(2), Why.LOST, n_maybe_billed=3, cost_usd=None))
        standing = read_status(tmp_path)
        assert (standing.is_running, standing.running_pid) == (True, os.getpid())
        for number in range(3, 9):
            folder.begin(task(number), 1, at="2026-11-22T14:00:00.123Z")
        standing = read_status(tmp_path)
        assert standing.in_flight == 6
        assert (standing.made, standing.failed_by_why, standing.owed) == (1, {"lost": 1}, 8)
        assert (standing.maybe_billed, standing.cost_usd, standing.n_cost_known) == (3, 0.039, 1)
        await keep_made(folder, 2)
    standing = read_status(tmp_path)
    assert (standing.is_running, standing.is_stale, standing.in_flight) == (False, False, None)
    assert (standing.made, standing.failed, standing.owed, standing.n_images) == (2, 0, 8, 2)
    assert list(standing.latencies_s) == pytest.approx([8.21] * 3)
    assert standing.job == "sunsets"


async def test_status_counts_what_the_job_wants_now(tmp_path: Path) -> None:
    with Folder(tmp_path, terms()) as folder:
        for number in range(3):
            await keep_made(folder, number)
        await folder.keep(failed(task(3)))
        folder.note_plan(wanted=3, unwanted=[task(0).id, task(3).id])
    standing = read_status(tmp_path)
    assert (standing.made, standing.failed, standing.owed, standing.unwanted) == (2, 0, 1, 2)


def test_status_of_a_line_that_is_just_being_written_does_not_see_it(tmp_path: Path) -> None:
    Folder(tmp_path, terms()).close()
    (tmp_path / "manifest.jsonl").write_bytes(b'{"id":"a","status":"ma')
    assert read_status(tmp_path).made == 0
    assert (tmp_path / "manifest.jsonl").read_bytes() == b'{"id":"a","status":"ma'


def test_where_no_output_folder_is_one_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(BadUsage, match="no output folder there"):
            find(root)
        with pytest.raises(BadUsage, match="no output folder there"):
            read_status(root)
    assert not read_ledger(tmp_path / "nowhere").ids()
