"""A command whose standard streams were closed, as by ``>&-``: quiet, with its usual status."""

from __future__ import annotations

import subprocess
import sys

import pytest

from snas_tune.cli import app


def run(redirections, *words):
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirections}', sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("redirections", "words", "status"),
    [
        (">&-", ["--version"], 0),
        (">&-", ["settings"], 0),
        ("<&- >&- 2>&-", ["--help"], 0),
        (">&- 2>&-", ["settings", "--nonsense"], 2),
    ],
)
def test_a_command_ends_quietly_as_usual(redirections, words, status):
    done = run(redirections, "-m", "snas_tune", *words)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


def test_an_error_is_told_where_only_the_output_is_closed():
    done = run(">&-", "-m", "snas_tune", "settings", "--nonsense")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


STREAMS = """
import faulthandler, os, subprocess, sys
from snas_tune.cli.exits import open_streams
open_streams()
faulthandler.enable(all_threads=False)
kept = open(sys.argv[1], "w")
print("lost")
print("lost", file=sys.__stderr__)
subprocess.run(["sh", "-c", "echo lost; echo lost >&2"], check=True)
print([sys.stdin.fileno(), sys.stdout.fileno(), sys.stderr.fileno()], file=kept)
"""


@pytest.mark.parametrize("redirections", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(redirections, tmp_path):
    done = run(redirections, "-c", STREAMS, str(tmp_path / "kept"))
    assert done.returncode == 0
    assert (tmp_path / "kept").read_text() == "[0, 1, 2]\n"


@pytest.mark.parametrize("stream", ["None", "object()", "open(os.devnull)"])
def test_the_end_at_once_never_raises(stream):
    program = f"""
import os, sys
from snas_tune.cli.exits import end
sys.stdout = {stream}
sys.stderr = {stream}
end(7, "half of a character: \\udc80")
"""
    done = run("2>&-", "-c", program)
    assert (done.returncode, done.stdout) == (7, "")


def test_a_program_without_an_output_may_call_the_command(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert app.main(["--version"]) == 0
