"""The command ``snas-tune``: its help, how settings are merged, its errors and exit statuses."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY
from hypothesis import given
from hypothesis import strategies as st

from snas_tune import ParetoFront, __version__
from snas_tune.cli import app
from snas_tune.cli.app import command_of, main
from snas_tune.cli.presets import PRESETS
from snas_tune.cli.recipe import RANGES, SECTIONS, Loader, Recipe, read_recipe, recipe_text
from snas_tune.cli.usage import one_line
from snas_tune.config import SearchConfig
from snas_tune.sweep.settings import RULES, SEARCHERS, SweepSettings
from snas_tune.training.diverged import SearchDiverged

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
    assert [line.split()[0] for line in lines] == list(SearchConfig().to_dict())
    assert "temperature_start         = 1.0: Temperature of the first step (published: 1)." in (
        next(line for line in lines if line.startswith("temperature_start"))
    )
    assert lines[0].endswith("(0 or more)")
    assert main(["settings", "flip", "cutout"]) == 0
    assert "flip = false, must be true or false\n    Mirror half" in capsys.readouterr().out


def test_names_stand_in_the_settings_as_in_what_they_choose() -> None:
    """They are written out there so that the help needs neither ray nor torch."""
    from snas_tune import stopping
    from snas_tune.sweep.searcher import SAMPLERS

    assert tuple(stopping.RULES) == RULES
    assert ("pareto", *SAMPLERS) == SEARCHERS


def asked(*words: str) -> tuple[dict[str, Any], Any]:
    """The settings of the searches that a command line asks for, and its flags."""
    command = command_of(["sweep", *words])
    return command.search_settings(command.recipe()), command


def test_the_command_line_wins_over_set_the_file_and_the_preset(tmp_path: Path) -> None:
    path = str(tmp_path / "s.yaml")
    Path(path).write_text(
        "preset: paper\nsearch: {epochs: 20, channels: 12, cutout: 3}\nsweep: {trials: 5, seed: 4}"
    )
    search, command = asked("--config", path)
    assert (search["epochs"], search["channels"], search["cells"]) == (20, 12, 8)
    assert (command.trials, command.seed, command.preset) == (5, 4, "paper")
    search, command = asked("--config", path, "--set", "epochs=21", "--trials=6", "--preset=demo")
    assert (search["epochs"], search["cells"], search["cutout"]) == (21, 3, 3)
    assert command.trials == 6
    search, _ = asked("--epochs", "22", "--set", "epochs=21", "--config", path)
    assert search["epochs"] == 22


def test_toml_and_yaml_ask_for_the_same(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(
        "search:\n  penalty_strength: [0.1, 9]\n  ops: [none, skip_connect]\n  flip: true\n"
        "  weights_decay: 3e-4\nsweep:\n  trials: 5\n"
    )
    (tmp_path / "s.toml").write_text(
        '[search]\npenalty_strength = [0.1, 9]\nops = ["none", "skip_connect"]\nflip = true\n'
        "weights_decay = 3e-4\n[sweep]\ntrials = 5\n"
    )
    one, other = (read_recipe(file=tmp_path / name) for name in ("s.yaml", "s.toml"))
    assert one == other
    assert one.search["weights_decay"] == 3e-4


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("channels=16", 16),
        ("weights-decay=3e-4", 3e-4),
        ("flip=true", True),
        ("target_flops=1e6", 1e6),
        ("image_size=null", None),
        ("data=my.module:images", "my.module:images"),
        ("ops=[none, skip_connect]", ["none", "skip_connect"]),
        ("penalty_costs={flops: 1, params: .5}", {"flops": 1, "params": 0.5}),
    ],
)
def test_set_takes_a_value_of_any_type(text: str, value: object) -> None:
    name = text.partition("=")[0].replace("-", "_")
    assert read_recipe(assignments=[text]).search[name] == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_python_writes_no_number_that_a_sweep_file_reads_as_text(number: float) -> None:
    assert yaml.load(repr(number), Loader) == number


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.sampled_from(sorted(PRESETS)),
    st.dictionaries(st.sampled_from(sorted(SECTIONS["search"])), VALUES),
    st.dictionaries(st.sampled_from(sorted(SECTIONS["sweep"])), VALUES),
)
def test_a_sweep_file_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    preset: str,
    search: dict[str, Any],
    sweep: dict[str, Any],
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    path.write_text(recipe_text(Recipe(preset, search, sweep)))
    read = read_recipe(file=path)
    assert read.preset == preset
    assert {name: read.search[name] for name in search} == search
    assert {name: read.sweep[name] for name in sweep} == sweep


def test_what_a_sweep_varies_may_be_a_value_or_a_range() -> None:
    from snas_tune.cli.sweep import arguments_of
    from snas_tune.sweep import sweep_space
    from snas_tune.sweep.domains import domains_of

    sets = (
        "--set=temperature_start=1.2",
        "--set=temperature_schedule=cosine",
        "--penalty",
        "1",
        "2",
    )
    search, _ = asked(*sets)
    space = sweep_space(**arguments_of(search))
    assert space["temperature_start"] == 1.2
    assert space["temperature_schedule"] == "cosine"
    assert sorted(domains_of(space)) == ["penalty_strength", "temperature_end"]
    assert (space["penalty_strength"].lower, space["penalty_strength"].upper) == (1, 2)
    search, _ = asked("--set", "temperature_end=[0.1, 0.2]", "--set", "penalty_strength=3")
    space = sweep_space(**arguments_of(search))
    assert (space["temperature_end"].lower, space["temperature_end"].upper) == (0.1, 0.2)
    assert space["penalty_strength"] == 3
    assert set(RANGES) == {"temperature_start", *domains_of(space)} | {"penalty_strength"}


def test_a_budget_is_the_same_in_a_file_and_as_a_flag(tmp_path: Path) -> None:
    for mflops in ("0.12", "20", "0.3", "528.4"):
        search, _ = asked("--target-mflops", mflops)
        flops = search["target_flops"]
        assert flops == round(float(mflops) * 1e6)
        assert asked("--set", f"target_flops={flops!r}")[0]["target_flops"] == flops


WRONG = [
    ((), "expected one of {sweep, take, latency, log, settings}"),
    (("swep",), "unknown command: swep (perhaps sweep)"),
    (("sweep", "--trials", "x"), "trials must be a whole number, got 'x'"),
    (("sweep", "--reduction-factor", "x"), "reduction-factor must be a number, got 'x'"),
    (("sweep", "--image-size", "x"), "image-size must be a number, got 'x'"),
    (("sweep", "--penalty", "a", "b"), "penalty must be numbers, got 'a', 'b'"),
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
    (("sweep", "--target-mflops", "inf"), "target_flops must be positive, got inf"),
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
    (("take", "here"), "missing required argument group: "),
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
        (SearchDiverged("loss must be finite"), 1, "error: loss must be finite\n"),
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


def snas_tune(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as Ray is started in it."""
    return subprocess.run(
        [sys.executable, "-m", "snas_tune", *words],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=280,
        check=False,
    )


def contents(front: ParetoFront) -> list[dict[str, str]]:
    """Rows of a front without what every run has anew."""
    drop = ("time", "seconds", "checkpoint", "hostname")
    return [
        {key: repr(value) for key, value in row.items() if not key.startswith(drop)}
        for row in sorted(front.rows, key=lambda row: (row["trial"], row["epoch"]))
    ]


def test_a_sweep_writes_the_file_that_repeats_it(tmp_path: Path) -> None:
    sizes = [f"--set={n}={v}" for n, v in TINY.items()]
    words = ["--rule=fifo", "--searcher=tpe", "--concurrent=1", "--trials=2", "--epochs=2"]
    words += ["--supernet=plain"]  # to measure the others takes longer than to search
    first = snas_tune(
        tmp_path, "sweep", "--name=one", "--seed=3", "--penalty=.1", "9", *words, *sizes
    )
    assert first.returncode == 0, first.stderr
    for line in ("MFLOPs", "front file ", "tensorboard --logdir", "take a child  snas-tune take "):
        assert line in first.stdout
    file = tmp_path / "results/one/sweep.yaml"
    assert f"snas-tune sweep --config {file}" in first.stdout
    again = snas_tune(tmp_path, "sweep", "--config", str(file))
    assert again.returncode == 0, again.stderr
    second = tmp_path / "results/digits-demo-seed3"
    assert (second / "sweep.yaml").read_text() == file.read_text()
    one, other = (ParetoFront.read(path) for path in (tmp_path / "results/one", second))
    assert len(one) == 4
    assert contents(one) == contents(other)
    values = json.loads(one.rows[0]["config"])
    assert (values["seed"], values["limit_images"]) == (3, TINY["limit_images"])
    third = snas_tune(tmp_path, "sweep", "--config", str(file), "--resume", "--trials=3")
    assert third.returncode == 2
    assert third.stderr == "error: trials must be 2 as in the sweep to resume, got 3\n"
