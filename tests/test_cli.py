"""The command ``snas-tune``: its help, its errors and its exit statuses."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snas_tune import __version__
from snas_tune.cli import app
from snas_tune.cli.app import main
from snas_tune.cli.usage import one_line
from snas_tune.config import SearchConfig
from snas_tune.sweep.settings import RULES, SEARCHERS, SweepSettings
from snas_tune.training.diverged import Diverged

COMMANDS = ("sweep", "take", "latency", "log", "settings")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def help_of(capsys: Capture, *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [(), *((name,) for name in COMMANDS)])
def test_the_help_of_each_command_fits_a_screen(words: tuple[str, ...], capsys: Capture) -> None:
    lines = help_of(capsys, *words).splitlines()
    assert 8 < len(lines) <= 48
    assert max(map(len, lines)) <= 100


def test_the_help_lists_every_command_and_every_setting_of_a_sweep(capsys: Capture) -> None:
    text = help_of(capsys)
    assert all(f"• {name}" in text for name in COMMANDS)
    text = help_of(capsys, "sweep")
    names = {each.name for each in dataclasses.fields(SweepSettings)} - {"progress"}
    assert all(f"--{name.replace('_', '-')}" in text for name in names)
    assert "(default: 0.03 60.0)" in text


def test_help_shows_the_defaults_of_the_preset_and_the_file(
    capsys: Capture, tmp_path: Path
) -> None:
    assert "--epochs INT              Length of the search. (default: 150)" in help_of(
        capsys, "sweep", "--preset", "paper"
    )
    (tmp_path / "s.yaml").write_text("search: {epochs: 7}\nsweep: {trials: 3}\n")
    text = help_of(capsys, "sweep", "--config", str(tmp_path / "s.yaml"))
    assert "(default: 7)" in text
    assert "Searches in all. (default: 3)" in text


@pytest.mark.parametrize("words", ['"--help"', '"sweep", "--help"', '"settings"'])
def test_help_is_shown_without_torch_ray_or_numpy(words: str) -> None:
    code = f"""
import sys
from snas_tune.cli.app import main
try:
    main([{words}])
except SystemExit:
    pass
print(*[name for name in ("torch", "ray", "numpy", "pyarrow", "optuna") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


def test_the_module_is_the_same_command(capsys: Capture) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "snas_tune", "--version"], capture_output=True, text=True, check=True
    )
    assert main(["--version"]) == 0
    assert done.stdout == capsys.readouterr().out == f"snas-tune {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_can_complete_commands_and_flags(shell: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--tyro-print-completion", shell])
    assert not ended.value.code
    script = capsys.readouterr().out
    assert all(word in script for word in (*COMMANDS, "--grace-period", "--max-mflops"))


def test_settings_are_listed_one_a_line_and_told_whole_by_name(capsys: Capture) -> None:
    assert main(["settings"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [each.name for each in dataclasses.fields(SearchConfig)]
    assert [line.split()[0] for line in lines] == names
    assert "temperature_start         = 1.0: Temperature of the first step (published: 1)." in (
        next(line for line in lines if line.startswith("temperature_start"))
    )
    assert lines[2].endswith("(the paper's eta). (0 or more)")
    assert main(["settings", "flip", "cutout"]) == 0
    assert "flip = false, must be true or false\n    Mirror half" in capsys.readouterr().out


def test_names_stand_in_the_settings_as_in_what_they_choose() -> None:
    """They are written out there so that the help needs neither ray nor torch."""
    from snas_tune import stopping
    from snas_tune.sweep.sampler import SAMPLERS

    assert tuple(stopping.RULES) == RULES
    assert ("pareto", *SAMPLERS) == SEARCHERS


WRONG = [
    ((), "expected one of {sweep, take, latency, log, settings}"),
    (("swep",), "unknown command: swep (perhaps sweep)"),
    (("sweep", "--trials", "x"), "trials must be a whole number, got 'x'"),
    (("sweep", "--reduction-factor", "x"), "reduction-factor must be a number, got 'x'"),
    (("sweep", "--image-size", "x"), "image-size must be a number, got 'x'"),
    (("sweep", "--penalty", "a", "b"), "penalty must be numbers, got 'a', 'b'"),
    (
        ("sweep", "--metric", "balanced_accuracy"),
        "unrecognized options: --metric, balanced_accuracy (perhaps --set metric=...)",
    ),
    (
        ("sweep", "--weights-decay=0"),
        "unrecognized options: --weights-decay=0 (perhaps --set weights_decay=...)",
    ),
    (("sweep", "--channels=4"), "unrecognized options: --channels=4 (perhaps --set channels=...)"),
    (("sweep", "--trails", "3"), "unrecognized options: --trails, 3 (perhaps --trials)"),
    (("sweep", "--trials", "0"), "trials must be a positive whole number, got 0"),
    (("sweep", "--name", "a/b"), "name must be that of a directory, without a slash, got 'a/b'"),
    (("sweep", "--preset", "big"), "preset must be one of demo, small, paper, got 'big'"),
    (("sweep", "--set", "cells"), "set must be NAME=VALUE, got 'cells'"),
    (("sweep", "--set", "chanels=3"), "unknown setting: chanels (perhaps channels or "),
    (("sweep", "--set", "seed=3"), "seed must be given as --seed, "),
    (("sweep", "--set", "ops=[a"), "value of ops must be YAML, got '[a'"),
    (("sweep", "--set", "cells=two"), "cells must be a whole number, 3 or more, got 'two'"),
    (("sweep", "--partial-channels", "3"), "channels must be a multiple of partial_channels, "),
    (("sweep", "--penalty", "2", "1"), "range of penalty_strength must be positive and ascending"),
    (("sweep", "--target-mflops", "inf"), "target_mflops must be positive and finite, got inf"),
    (("sweep", "--data", "nowhere/at/all"), "data "),
    (("sweep", "--config", "nowhere.yaml"), "sweep file nowhere.yaml cannot be read: [Errno 2]"),
    (("sweep", "--config", "list.yaml"), "sweep file list.yaml must hold sections, got [1]"),
    (("sweep", "--config", "section.yaml"), "unknown key of sweep file section.yaml: serch (per"),
    (("sweep", "--config", "flat.yaml"), "section search of flat.yaml must hold settings, got 3"),
    (("sweep", "--config", "typo.toml"), "unknown setting in section sweep of typo.toml: trails"),
    (("sweep", "--config", "broken.toml"), "sweep file broken.toml cannot be read: "),
    (("sweep", "--config", "text.yaml"), "trials must be a positive whole number, got 'ten'"),
    (("sweep", "--resume", "--name", "k"), "name must be that of a sweep to resume, got 'k' in "),
    (("settings", "epoch"), "unknown setting: epoch (perhaps epochs)"),
    (("take", "here"), "missing required argument group: --max-mflops, --pick"),
    (("take", "here", "--pick", "a:1", "--max-mflops", "3"), "arguments --pick and --max-mflops "),
    (("log", "--logdir", "logs"), "fronts must name one front file or more, got none"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_input_gives_one_line_and_exit_status_two(
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        "list.yaml": "[1]",
        "section.yaml": "serch: {}",
        "flat.yaml": "search: 3",
        "typo.toml": "[sweep]\ntrails = 3\n",
        "broken.toml": "[sweep\n",
        "text.yaml": "sweep: {trials: ten}",
    }
    for name, text in files.items():
        Path(name).write_text(text)
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {message}")
    assert (said.err.count("\n"), said.out) == (1, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


def test_the_gist_of_a_drawn_error_is_one_line() -> None:
    box = "╭─ T ─╮\n│ Too many    │\n│ words.      │\n│ ─────────── │\n│ For help    │\n╰─────╯"
    assert one_line(box) == "too many words"
    assert one_line(" T\n ------\n  Too many\n  ------\n  For help\n ") == "too many"


def fails_with(error: BaseException) -> Callable[..., Any]:
    class Command:
        def run(self) -> int:
            raise error

    return lambda words: Command()


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ValueError("a must be b, got c"), 2, "error: a must be b, got c\n"),
        (Diverged("loss must be finite"), 1, "error: loss must be finite\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_the_exit_status_tells_what_went_wrong(
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.setattr(app, "command_of", fails_with(error))
    assert main(["sweep"]) == status
    assert capsys.readouterr().err == line
