"""Cases 41 to 90 of the wire: HTTP and the network, 200 but not OK, and what it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson
import pytest
from cases_transport import CASES, LISTS, OK, STATUSES
from harness import Case, Then, check, play
from scripted import scripted

from pipeline.provider.catalog import image_models_in
from pipeline.provider.http import Address, Http, Patience

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = Patience(connect_s=5, idle_s=5, total_s=20, most_body_bytes=2**24)


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
async def test_wire(case: Case, tmp_path: Path) -> None:
    check(case, await play(case, tmp_path))


async def test_what_a_402_left_owed_is_made_by_the_next_run(tmp_path: Path) -> None:
    (no_credit,) = (case for case in STATUSES if case.number == 54)
    check(no_credit, await play(no_credit, tmp_path))
    paid = replace(no_credit, scripts=(OK,), then=Then(n_requests=2))
    seen = await play(paid, tmp_path)
    check(paid, seen)
    assert [line["status"] for line in seen.lines] == ["made", "made"]


@pytest.mark.parametrize("case", LISTS, ids=[case.id for case in LISTS])
async def test_a_list_of_models(case: Case) -> None:
    async with (
        scripted(*case.scripts) as server,
        Http(Address(base_url=server.base_url), PATIENCE) as http,
        http.get("/models") as reply,
    ):
        body = b"".join([piece async for piece in reply.body])
    (model,) = image_models_in(orjson.loads(body))
    assert model.id == "a/b"
    assert all(price >= 0 for price in model.prices.values())
