"""What ``plan`` says a job may cost, beside what the provider then bills."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.app.jobfile import load_job
from pipeline.app.plan import bill_of
from pipeline.app.prices import Prices
from pipeline.core.prices import Ask, Price, models_in
from pipeline.core.simulation import FaultRule, Simulation
from pipeline.job.kinds import Kind
from pipeline.view.plan import price_text

if TYPE_CHECKING:
    from commands import Desk, Serving

GEMINI, PRO = "google/gemini-2.5-flash-image", "google/gemini-3-pro-image-preview"
FLUX = "black-forest-labs/flux.2-pro"
QUICK = Simulation(latency_s=0, image_size="64x64", cost_usd=0.04)
SOME = replace(QUICK, prices={GEMINI: 0.0387, PRO: 0.1344, FLUX: 0.03})
BY_TOKENS = replace(SOME, lists_token_prices=True)
OWN = f"prices: {{simulator/painter: {{image: 0.04}}, {GEMINI}: {{image: 0.039}}}}\n"
MODELS = f"matrix: {{model: [{GEMINI}, {PRO}, {FLUX}]}}\n"
STYLES = "template: '{{prompt}}, {{style}}'\nmatrix: {style: [oil, ink, pencil]}\n"
ROWS = f"[{{prompt: a, model: {GEMINI}}}, {{prompt: b, model: {PRO}}}, c]"


def _with(fault: str, **which: Any) -> Simulation:
    return replace(QUICK, rules=(FaultRule(fault=fault, **which),))


@dataclass(frozen=True, kw_only=True)
class Case:
    """A job and the provider it asks.

    ``lists``: the list of models was asked for before; ``n_first``: so many tasks were made in a
    first run; ``n_free``: tasks that are refused, for which nothing is billed; ``unpriced``: the
    model nobody knows the price of. ``embedded``: the job brings a simulator with these settings.
    """

    name: str
    simulation: Simulation = QUICK
    prompts: str = "[a, b, c, d]"
    more: str = ""
    profile: str = ""
    lists: bool = True
    n_first: int = 0
    n_free: int = 0
    unpriced: str = ""
    has_billed_retries: bool = False
    embedded: str = ""


CASES = (
    Case(name="one model of the list"),
    Case(name="the profile alone", profile=OWN, lists=False),
    Case(name="profile and list differ", profile=OWN, simulation=SOME, more=f"model: {GEMINI}\n"),
    Case(name="three models in a matrix", simulation=SOME, more=MODELS),
    Case(name="models of rows", simulation=SOME, prompts=ROWS),
    Case(name="samples of three styles", more=f"{STYLES}samples: 4\n"),
    Case(
        name="models, samples and a first run",
        simulation=SOME,
        more=f"{MODELS}samples: 2\n",
        n_first=7,
    ),
    Case(
        name="by tokens, known of two",
        simulation=BY_TOKENS,
        more=f"matrix: {{model: [{GEMINI}, {PRO}]}}\n",
    ),
    Case(name="by tokens, unknown of one", simulation=BY_TOKENS, more=MODELS, unpriced=FLUX),
    Case(
        name="a model nobody lists",
        simulation=SOME,
        more=f"matrix: {{model: [{PRO}, who/ever]}}\n",
        unpriced="who/ever",
    ),
    Case(
        name="a model nobody lists, whose replies told",
        simulation=SOME,
        more=f"matrix: {{model: [{PRO}, who/ever]}}\n",
        n_first=3,
    ),
    Case(name="a cost nobody tells", simulation=replace(SOME, tells_cost=False), more=MODELS),
    Case(
        name="several images asked for at once",
        profile="dialect: images\n",
        more="params: {n: 3}\n",
    ),
    Case(
        name="several images, one kept",
        profile="dialect: openrouter-images\n",
        more="params: {n: 2}\nkeep: first\nsamples: 2\n",
    ),
    Case(name="streamed", profile="stream: true\n", simulation=SOME, more=MODELS),
    Case(name="nothing left", n_first=4),
    Case(
        name="refusals of a first run are not asked for again",
        simulation=_with("refused", prompt="bad"),
        prompts="[bad, a, b, c]",
        n_first=2,
    ),
    Case(
        name="refusals",
        simulation=_with("refused", prompt="bad"),
        prompts="[bad, a, b, bad too]",
        n_free=2,
    ),
    Case(name="faults that cost nothing", simulation=_with("server_error", attempt=1)),
    Case(
        name="replies without image are billed again",
        simulation=_with("text_only", attempt=1),
        has_billed_retries=True,
    ),
    Case(
        name="cut images, billed each time",
        simulation=_with("cut_image", prompt="b"),
        has_billed_retries=True,
    ),
    Case(
        name="embedded, with models of their own price",
        more=MODELS,
        embedded=f"cost_usd: 0.04, price_spread: 0.3, prices: {{{GEMINI}: 0.0387}}",
    ),
    Case(
        name="embedded, with faults of every kind",
        more=STYLES,
        n_first=5,
        embedded="cost_usd: 0.04, images_per_reply: 2, faults: {refused: 0.2, text_only: 0.3}",
    ),
)


ALL_THE_OTHERS = [
    pytest.param(case, marks=pytest.mark.long) for n, case in enumerate(CASES) if n % 4
]


@pytest.mark.parametrize("case", [*CASES[::4], *ALL_THE_OTHERS], ids=lambda case: case.name)
def test_the_price_estimate_of_a_plan_brackets_the_bill(
    desk: Desk, provider: Serving, case: Case
) -> None:
    with provider(case.simulation) as there:
        _write(desk, case, there.base_url)
        if case.lists and not case.embedded:
            assert desk.run("models", "--provider", "there.yaml").code == 0
        if case.n_first:
            desk.run("run", "job.yaml", "--limit", str(case.n_first))
        lines_before, billed_before = _spent(desk, case), there.bill()["cost_usd"]
        plan = desk.run("plan", "job.yaml", "--json").summary
        ended = desk.run("run", "job.yaml", "--json").summary
        bill = there.bill()["cost_usd"] - billed_before
    if case.unpriced or case.embedded:
        bill = _spent(desk, case) - lines_before
    n_tasks = plan["to_send"]
    assert n_tasks or plan["price"] == "$0.00 (nothing to send)"
    assert bool(plan["price_unknown"]) is bool(case.unpriced)
    least = plan["price_low_usd"] * (1 - case.n_free / max(n_tasks, 1))
    most = plan["price_most_usd" if case.has_billed_retries else "price_high_usd"]
    assert least - 1e-6 <= bill <= most + 1e-6
    if ended["cost_usd_high"] is not None and not case.unpriced:
        assert ended["cost_usd_low"] - 1e-6 <= bill <= ended["cost_usd_high"] + 1e-6


def _write(desk: Desk, case: Case, base_url: str) -> None:
    more = f"{case.more}retry: {{max_wait: 0.01}}\n"
    if case.embedded:
        simulator = f"{{latency_s: 0, image_size: 64x64, {case.embedded}}}"
        desk.job(case.prompts, more=f"provider: {{simulator: {simulator}}}\n{more}")
        return
    desk.job(case.prompts, base_url=base_url, more=more)
    desk.provider(base_url, case.profile)


def _spent(desk: Desk, case: Case) -> float:
    """What the folder's lines tell, less what was never in the estimate."""
    if not (desk.out / "manifest.jsonl").exists():
        return 0.0
    return sum(line["cost_usd"] or 0.0 for line in desk.lines if line["model"] != case.unpriced)


def test_replies_seen_widen_the_bill_and_are_told_of(desk: Desk) -> None:
    desk.job("[a, b]", base_url="https://nobody.invalid", more="retry: {attempts: 1}\n")
    desk.provider("https://nobody.invalid", OWN)
    job = load_job(str(desk.folder / "job.yaml"))
    seen = {"simulator/painter": (0.04, 0.041), "another": (1.0, 2.0)}
    kinds = {Kind(models=("simulator/painter",), priced=Ask(prompt_bytes=1)): 2}
    bill = bill_of(kinds, Prices(job, {}, seen=seen), job)
    assert (bill.n_tasks, bill.unknown) == (2, 0)
    assert price_text(bill) == "$0.08-$0.082 (the profile's prices; dearest reply seen $0.041)"
    desk.provider("https://nobody.invalid")
    job = load_job(str(desk.folder / "job.yaml"))
    bill = bill_of(kinds, Prices(job, {}, seen=seen), job)
    assert price_text(bill) == "$0.08-$0.082 (dearest reply seen $0.041)"


def test_the_price_of_a_request_is_unknown_where_a_model_it_falls_back_on_has_none(
    desk: Desk,
) -> None:
    desk.job("[a]", base_url="https://nobody.invalid")
    desk.provider("https://nobody.invalid", OWN)
    prices = Prices(load_job(str(desk.folder / "job.yaml")), {})
    both = prices.of_models([GEMINI, *models_in({"models": ["simulator/painter"]})])
    assert both == Price(low_usd=0.039, high_usd=0.04, source="the profile's prices")
    assert prices.of_models([GEMINI, "who/ever"]) is None
    assert prices.of_models([]) is None


def test_a_provider_that_tells_no_cost_leaves_it_unknown(desk: Desk, provider: Serving) -> None:
    with provider(replace(QUICK, tells_cost=False)) as there:
        desk.job(["a", "b"], base_url=there.base_url)
        told = desk.run("run", "job.yaml")
        assert there.bill()["cost_usd"] == 0.08
        assert "\ncost $0.00 and 2 requests of unknown cost ($0.08)\n" in told.out
        desk.job(["a", "b", "c"], base_url=there.base_url, more="model: who/ever\n")
        told = desk.run("run", "job.yaml")
    assert "\ncost $0.00 and 3 requests of unknown cost\n" in told.out
    assert {line["cost_usd"] for line in desk.lines} == {None}


@pytest.mark.parametrize(
    ("lists_token_prices", "told"), [(True, "images $0.00003/token"), (False, "$0.0387 an image")]
)
def test_models_and_doctor_tell_a_tokens_price_from_an_images(
    desk: Desk, provider: Serving, *, lists_token_prices: bool, told: str
) -> None:
    with provider(replace(SOME, lists_token_prices=lists_token_prices)) as there:
        desk.write("there.yaml", f"base_url: {there.base_url}\nmodel: {GEMINI}\n")
        listed = desk.run("models", "--provider", "there.yaml").out
        found = desk.run("doctor", "--provider", "there.yaml").out
    line = next(line for line in listed.splitlines() if line.startswith(GEMINI))
    assert line.endswith(told)
    assert f"{GEMINI}: text+image, {told.removeprefix('images ')}" in found
