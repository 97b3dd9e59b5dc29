"""What signals do while something is made or measured."""

import signal

import pytest

from mpcore.signals import put_off, raising_exit


def test_a_signal_that_is_ignored_stays_so():
    """As a hang-up is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raising_exit():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_that_would_end_the_process_at_once_cleans_up():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left, raising_exit():
        signal.raise_signal(signal.SIGTERM)
    assert left.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_is_put_off_until_all_is_done():
    done = []

    def work():
        with put_off():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest")
        done.append("nothing")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["the rest"]
