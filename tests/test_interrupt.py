"""Ctrl-C of the command, at any moment: one line, status 130."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from snas_tune.cli import app
from snas_tune.sweep import SweepLost

PROGRAM = """
import sys, time, types, signal, threading
from snas_tune.cli import start
start.PATIENCE = 0.3
app = types.ModuleType("snas_tune.cli.app")
sys.modules["snas_tune.cli.app"] = app
def interrupt():
    signal.raise_signal(signal.SIGINT)
{body}
app.main = run
sys.exit(start.main())
"""

BODIES = {
    "a command that takes it": "def run(): interrupt()",
    "a library that makes something else of it": """
def run():
    try: interrupt()
    except KeyboardInterrupt: raise ImportError("no such module")
""",
    "a wait that nothing ends": """
def run():
    try: interrupt()
    except KeyboardInterrupt: time.sleep(60)
""",
    "where nobody can catch it": """
class Dropped:
    def __del__(self): interrupt()
def run():
    Dropped()
    return 0
""",
    "a second time": """
def run():
    try: interrupt()
    finally: interrupt()
""",
    "while the process ends": """
import atexit
atexit.register(interrupt)
def run(): return 0
""",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_ctrl_c_is_one_line(body):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_a_program_that_was_told_to_ignore_it_goes_on():
    body = "def run():\n    interrupt()\n    return 7"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(body=body)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_a_lost_sweep_ends_the_program_with_its_line(monkeypatch):
    ends = []

    def run():
        raise SweepLost("Ray's node process died; go on with --resume")

    monkeypatch.setattr(app, "command_of", lambda words: SimpleNamespace(run=run))
    monkeypatch.setattr(app, "end", lambda *asked: ends.append(asked))
    app.main(["sweep"])
    assert ends == [(1, "Ray's node process died; go on with --resume")]


STARTED = """
import sys
from snas_tune.cli import start
print("started", flush=True)
sys.exit(start.main())
"""


@pytest.mark.parametrize(
    "seconds", [0.3, 1.0, *(pytest.param(s, marks=pytest.mark.slow) for s in (2.0, 4.0, 7.0))]
)
def test_the_command_is_interrupted_at_any_moment(tmp_path, seconds):
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED, "sweep", "--storage-path", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert output == ""
    assert errors.splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors
