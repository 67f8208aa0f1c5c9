"""Ctrl-C: asked for in good order first, and answered within two seconds by a program that does not ask."""

import os
import signal
import time

import pytest

from testbed.commands.screen.terminal import UNHEARD_S, interruptible


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def interrupted_twice(*, hears: bool) -> None:
    with interruptible("stopping") as should_stop:
        ctrl_c()
        if hears:
            should_stop()
        ctrl_c()
        time.sleep(30)


def interrupted_in_its_work(done: list[str]) -> None:
    with interruptible():
        ctrl_c()
        done.append("not at once: it may be about to ask")
        time.sleep(30)
        done.append("never")


def test_a_program_that_never_asks_is_stopped_before_two_seconds_are_over():
    assert UNHEARD_S < 2
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted_in_its_work(done)
    assert len(done) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_asks_goes_on_in_good_order(number, monkeypatch):
    monkeypatch.setattr("testbed.commands.screen.terminal.UNHEARD_S", 0.1)
    with interruptible() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), number)
        assert should_stop()
        time.sleep(0.3)  # whatever it still has to write
        assert should_stop()


def test_the_second_ctrl_c_stops_at_once_whether_the_first_was_heard_or_not(capsys):
    for hears in (False, True):
        with pytest.raises(KeyboardInterrupt):
            interrupted_twice(hears=hears)
    assert capsys.readouterr().err.count("stopping") == 2


def test_afterwards_signals_do_what_they_did_before_and_no_alarm_is_left():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]
    with interruptible():
        ctrl_c()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)] == before
