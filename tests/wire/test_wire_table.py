"""The documentation says what the tests hold."""

from __future__ import annotations

from collections import Counter

from cases import CASES
from cases_transport import CASES as TRANSPORT
from table import DOCUMENT, written_into


def test_the_table_in_the_documentation_is_the_one_that_is_tested() -> None:
    document = DOCUMENT.read_text()
    assert document == written_into(document), (
        "run: PYTHONPATH=tests/provider python tests/wire/table.py"
    )


def test_every_case_from_1_to_40_has_a_row_and_every_row_a_name_of_its_own() -> None:
    assert {case.number for case in CASES} == set(range(1, 41))
    names = Counter(case.id for case in (*CASES, *TRANSPORT))
    assert not [name for name, n in names.items() if n > 1]
