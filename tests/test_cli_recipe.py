"""The settings of a sweep: presets, sweep files, ``--set`` and flags, merged; the written file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snas_tune import ParetoFront
from snas_tune.cli.app import command_of
from snas_tune.cli.presets import PRESETS
from snas_tune.cli.recipe import (
    RANGES,
    SECTIONS,
    Dumper,
    Loader,
    Recipe,
    read_recipe,
    read_yaml,
    recipe_text,
)


def asked(*words: str) -> tuple[dict[str, Any], Any]:
    """The settings of the searches that a command line asks for, and its flags."""
    command = command_of(["sweep", *words])
    return command.search_settings(command.recipe()), command


@pytest.mark.parametrize("text", ["1e0a", "3e4cats", "12e3_x", "-1e5.5", "1e5e5"])
def test_a_text_that_begins_as_a_number_is_a_text(text: str) -> None:
    assert read_yaml(f"data: {text}") == {"data": text}
    assert yaml.load(yaml.dump([text], Dumper=Dumper), Loader) == [text]
    assert read_yaml(f"[{text}, 3e4, -.5E-3, 1.e+2]") == [text, 3e4, -5e-4, 100.0]


@pytest.mark.parametrize(
    ("name", "text"), [("s.yaml", "preset: paper"), ("s.toml", 'preset="paper"')]
)
def test_a_sweep_file_may_begin_with_the_mark_of_an_editor(
    name: str, text: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert read_recipe(file=tmp_path / name).preset == "paper"


def test_the_time_to_read_keys_grows_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    class Counted(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal looked
            looked += 1
            return str(self) == str(other)

        __hash__ = str.__hash__

    loader = Loader("{" + ", ".join(f"k{i}: 1" for i in range(300)) + "}")
    node = loader.get_single_node()
    for key, _ in node.value:
        key.value = Counted(key.value)
    assert len(loader.construct_document(node)) == 300
    assert looked < 3000


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


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(PRESETS)),
    st.dictionaries(st.sampled_from(sorted(SECTIONS["search"])), VALUES, max_size=8),
    st.dictionaries(st.sampled_from(sorted(SECTIONS["sweep"])), VALUES, max_size=8),
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


@pytest.mark.slow
def test_a_sweep_writes_the_file_that_repeats_it(tmp_path: Path) -> None:
    sizes = [f"--set={n}={v}" for n, v in TINY.items()]
    words = ["--rule=fifo", "--searcher=tpe", "--concurrent=1", "--trials=2", "--epochs=2"]
    words += ["--supernet=plain"]  # to measure the others takes longer than to search
    first = snas_tune(
        tmp_path, "sweep", "--name=one", "--seed=3", "--penalty=.1", "9", *words, *sizes
    )
    assert first.returncode == 0, first.stderr
    for line in ("MFLOPs", "front file ", "tensorboard --logdir"):
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


def test_a_preset_that_is_no_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("preset: [demo]\n")
    with pytest.raises(
        ValueError, match=r"^preset must be one of demo, small, paper, got \['demo'"
    ):
        read_recipe(file=file)
