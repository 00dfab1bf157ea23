"""A ceiling holds whatever comes back, in whatever order."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.limit.budget import Budget, Spent

MODELS = ("cheap", "dear", "unlisted")
PRICES = {"cheap": 0.01, "dear": 0.25}


def test_without_a_ceiling_everything_is_allowed_and_counted() -> None:
    budget = Budget()
    assert budget.ceiling_usd == inf
    for _ in range(3):
        assert budget.allows("m")
        budget.reserve("m")
    budget.settle("m", cost_usd=7.0, is_charged=True)
    assert budget.spent_usd == 7.0
    assert not budget.is_used_up("m")


def test_what_is_out_is_reserved_until_it_comes_back() -> None:
    budget = Budget(1.0, prices={"m": 0.4})
    budget.reserve("m")
    budget.reserve("m")
    assert not budget.allows("m")
    assert not budget.is_used_up("m"), "they may yet cost nothing"
    budget.settle("m", cost_usd=0.1, is_charged=True)
    assert budget.allows("m")
    budget.settle("m", cost_usd=None, is_charged=False)
    assert budget.spent_usd == pytest.approx(0.1)


def test_the_dearest_reply_is_what_the_next_may_cost_and_what_unknown_ones_did() -> None:
    budget = Budget(10.0, prices={"m": 0.4}, before=Spent(usd=1.0, unknown={"m": 2}))
    assert budget.spent_usd == pytest.approx(1.8)
    budget.reserve("m")
    budget.settle("m", cost_usd=3.0, is_charged=True)
    assert budget.worst_usd("m") == 3.0
    assert budget.spent_usd == pytest.approx(10.0)
    assert budget.is_used_up("m")


def test_a_model_that_nobody_priced_costs_as_much_as_the_dearest() -> None:
    assert Budget(1.0, prices=PRICES, before=Spent(unknown={"gone": 1})).spent_usd == 0.25


def test_the_last_cent_can_be_spent() -> None:
    budget = Budget(0.3, prices={"m": 0.1}, before=Spent(usd=0.1 + 0.1))
    assert budget.allows("m")
    assert not Budget(0.3, prices={"m": 0.1001}, before=Spent(usd=0.2)).allows("m")


def test_what_is_free_needs_no_budget() -> None:
    assert Budget(0.0, prices={"m": 0.0}).allows("m")
    assert Budget(0.0, prices={"m": 0.01}).is_used_up("m")


def test_the_reason_names_the_ceiling_the_sum_and_the_next_price() -> None:
    spent = Spent(usd=19.981, unknown={"m": 0})
    told = Budget(20.0, prices={"m": 0.039}, before=spent).reason("m")
    assert "budget of $20.00 is used up" in told
    assert "$19.98" in told
    assert "$0.039" in told
    assert "--max-usd" in told


@given(
    ceiling=st.floats(0, 3),
    before=st.dictionaries(st.sampled_from(MODELS), st.integers(0, 3)),
    moves=st.lists(
        st.tuples(
            st.sampled_from(MODELS),
            st.floats(0, 1),  # the share of the worst that it turns out to cost
            st.sampled_from(["told", "untold", "free", "never back"]),
            st.integers(0, 5),  # how many others come back first
        ),
        max_size=80,
    ),
)
def test_what_was_truly_charged_never_exceeds_the_ceiling(
    ceiling: float,
    before: dict[str, int],
    moves: list[tuple[str, float, str, int]],
) -> None:
    budget = Budget(ceiling, prices=PRICES, before=Spent(unknown=before))
    worst = {model: budget.worst_usd(model) for model in MODELS}
    charged = sum(n * worst[model] for model, n in before.items())
    is_within = charged <= ceiling
    out: list[tuple[str, float, str]] = []
    for model, share, how, n_first in moves:
        for _ in range(min(n_first, len(out))):
            back, usd, ending = out.pop(0)
            told = {"told": usd, "untold": None, "free": None}[ending]
            budget.settle(back, cost_usd=told, is_charged=ending != "free")
        if not budget.allows(model):
            assert charged > ceiling or budget.spent_usd <= ceiling + 1e-6
            continue
        assert not budget.is_used_up(model)
        budget.reserve(model)
        usd = share * worst[model] if how != "free" else 0.0
        charged += usd
        if how != "never back":
            out.append((model, usd, how))
    assert charged <= ceiling + 1e-6 or not is_within
