"""What is worked out once for many tasks is what each of them says."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.model import Keep, Reference
from pipeline.job.form import Form
from pipeline.job.rows import checked, row_of
from pipeline.job.spec import RowSpec

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_PARAMS = st.dictionaries(_TEXTS | st.just("prompt"), st.integers(0, 9) | _TEXTS, max_size=3)


_SETTINGS = st.fixed_dictionaries(
    {
        "model": st.none() | _TEXTS,
        "aspect_ratio": st.none() | st.just("16:9"),
        "image_size": st.none() | st.just("1K"),
        "seed": st.just(3),
        "params": _PARAMS,
        "references": st.lists(st.sampled_from(["https://a/1.png", "https://a/2.png"]), max_size=2),
        "keep": st.just(Keep.ALL),
    }
)


@settings(deadline=None)
@given(_TEXTS, _SETTINGS, st.sampled_from([{}, {"simulated": True}]))
def test_what_is_asked_is_canonical_json_without_what_is_not_given(
    prompt: str, settings: dict[str, Any], simulated: dict[str, bool]
) -> None:
    form = Form.of(settings, template_names=(), is_simulated=bool(simulated))
    told = {name: one for name, one in settings.items() if name not in {"seed", "keep"}}
    asked = {name: one for name, one in told.items() if one is not None and one != []}
    plainly = {**asked, **simulated, "prompt": prompt, "params": settings["params"]}
    references = tuple(Reference(source=source) for source in settings["references"])
    dumped = orjson.dumps(plainly, option=orjson.OPT_SORT_KEYS)
    assert form.asked(prompt, references) == dumped


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["prompt", "id", "note", "seed", "model"]),
        st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", " ", "x"]),
    )
)
def test_a_row_seen_at_once_is_the_row_that_a_close_look_finds(cells: dict[str, Any]) -> None:
    quick = checked(dict(cells), file="p", line=3)
    try:
        spec = RowSpec.model_validate(cells)
    except ValueError:
        assert isinstance(quick, list)
    else:
        close = row_of(spec, 3)
        assert quick == close
        assert not isinstance(quick, list)
        assert list(quick.meta) == list(close.meta)
