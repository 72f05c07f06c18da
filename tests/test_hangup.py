"""How a sweep ends with its terminal, and how its program ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

from snas_tune.sweep.cluster import _without_hangup
from snas_tune.sweep.run import _termination_as_interrupt


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize("interrupt", [signal.default_int_handler, signal.SIG_IGN])
def test_a_hangup_and_a_termination_interrupt_a_sweep(number, interrupt):
    before = signal.signal(number, signal.SIG_DFL)  # under nohup it is ignored
    own = signal.signal(signal.SIGINT, interrupt)  # and this one in the background
    try:
        with pytest.raises(KeyboardInterrupt), _termination_as_interrupt():
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)
        signal.signal(signal.SIGINT, own)


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


IN_A_THREAD = """
import sys, threading
from snas_tune.sweep import SweepSettings, run_sweep, sweep_space
space = sweep_space(**{**TINY, "epochs": 1, "data": "digits"})
settings = SweepSettings(name="x", storage_path=sys.argv[1], trials=1, rule="fifo", progress=False)
thread = threading.Thread(target=lambda: print(len(run_sweep(space, settings).front.rows)))
thread.start()
thread.join()
"""


@pytest.mark.slow
def test_a_program_that_swept_in_a_thread_ends_with_its_own_status(tmp_path: Path):
    program = IN_A_THREAD.replace("TINY", repr(TINY))
    command = [sys.executable, "-c", program, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (found.stdout, found.returncode) == ("1\n", 0)
    assert "Failed to connect" not in found.stderr
