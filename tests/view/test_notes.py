"""What gets a line of its own."""

from __future__ import annotations

from telling import failed, made, sent, tried_again

from pipeline.core.model import Why
from pipeline.core.ports import Draining, Held
from pipeline.view.notes import Notes


def test_a_failed_try_is_told_to_those_who_ask_for_more() -> None:
    event = tried_again(Why.SERVER_ERROR, wait_s=2.0)
    assert Notes().of(event, 0.0) is None
    told = str(Notes(is_verbose=True).of(event, 0.0))
    assert told == "id0 'prompt 0' server_error, again in 2.0 s: slow  [2Jdown"


def test_a_task_that_is_given_up_is_told_with_its_reason() -> None:
    assert Notes(is_verbose=True).of(failed(3), 0.0) == "id3 'prompt 3' failed, refused"


def test_success_and_departures_are_not_worth_a_line() -> None:
    notes = Notes(is_verbose=True)
    assert notes.of(made(), 0.0) is None
    assert notes.of(sent(), 0.0) is None


def test_of_long_waits_the_first_is_told_and_another_after_half_a_minute() -> None:
    notes = Notes()
    told = [notes.of(Held(wait_s=60.0), now) is not None for now in (0.0, 1.0, 29.0, 30.0, 31.0)]
    assert told == [True, False, False, True, False]
    assert Notes().of(Held(wait_s=2.0), 0.0) is None


def test_a_stop_with_nothing_in_flight_waits_for_nothing() -> None:
    told = [Notes().of(Draining(reason="no", in_flight=n, grace_s=8), 0.0) for n in (0, 2)]
    assert told == ["stopping: no", "stopping: no; waiting up to 8.0 s for 2 requests in flight"]
