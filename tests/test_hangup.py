"""The end of the terminal ends a sweep as Ctrl-C does."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from snas_tune.sweep.cluster import _without_hangup
from snas_tune.sweep.run import _termination_as_interrupt


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_hangup_and_a_termination_interrupt_a_sweep(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), _termination_as_interrupt():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_hangup_that_is_ignored_stays_ignored_as_under_nohup():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _termination_as_interrupt():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_rays_processes_outlive_the_terminal():
    program = "import signal; signal.raise_signal(signal.SIGHUP); print('lives')"
    with _without_hangup():
        found = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert found.stdout == b"lives\n"
    assert signal.SIGHUP not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
