"""What a directory may hold when a sweep of its name begins or is resumed, and what may change."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import TINY
from front_points import row

from snas_tune.cli import sweep as command
from snas_tune.front import FrontFile
from snas_tune.results import OBJECTIVES
from snas_tune.sweep import SweepSettings, make_searcher, prepare, run, sweep_space
from snas_tune.sweep.directory import Earlier, can_restore, claim_experiment, claim_new, newest_name
from snas_tune.sweep.domains import starting_points
from snas_tune.sweep.experiment import Description
from snas_tune.sweep.resumed import SweepGenerator

SPACE = sweep_space(**TINY)
ASKED = SweepSettings(name="x", trials=4, concurrent=2, searcher="tpe", rule="fifo")
STATE = "experiment_state-2026-01-0{}_00-00-00.json"


def nothing(path: Path) -> None:
    """Not even the directory."""


def directory(path: Path) -> None:
    path.mkdir()


def described(path: Path) -> None:
    path.mkdir()
    Description.of(SPACE, ASKED).write(str(path))
    (path / "sweep.yaml").write_text("preset: demo\n")


def saved(path: Path, trials: int = 3) -> None:
    described(path)
    (path / STATE.format(1)).write_text(json.dumps({"trial_data": [["{}", "{}"]] * trials}))
    (path / "scheduler").mkdir()
    (path / "trial").mkdir()
    (path / "trial" / "params.json").write_text("{}")


def checkpointed(path: Path) -> None:
    saved(path)
    (path / "trial" / "checkpoint_000000").mkdir()


def rows_alone(path: Path) -> None:
    described(path)
    FrontFile(str(path / "front.parquet")).add([row()])


def whole(path: Path) -> None:
    saved(path)
    FrontFile(str(path / "front.parquet")).add([row()])


def cut_off(path: Path) -> None:
    """A crash while the newest state was copied."""
    whole(path)
    (path / STATE.format(2)).write_text('{"trial_data": [["{}", ')


def empty_description(path: Path) -> None:
    described(path)
    (path / "sweep.json").write_text("")


def no_description(path: Path) -> None:
    whole(path)
    (path / "sweep.json").unlink()


def somebody_elses(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("")


BEGINS = "sweep x in {} has no results yet: it begins"
AGAIN = (
    "sweep x in {} has results, but no saved state of its trials: its trials begin again, and its "
    "children stay"
)
ABSENT = "name must be that of a sweep to resume, got 'x' in {}"
TAKEN = "name must be a new one, got 'x', which {} already holds results of"
UNREAD = "sweep.json must describe the sweep to resume, got none that can be read in {}/x"

STATES = [
    # what is there, what a new sweep does, what a resumed one does, does Tune restore then
    (nothing, None, ABSENT, None),
    (directory, None, BEGINS, False),
    (described, None, BEGINS, False),
    (saved, None, None, True),
    (checkpointed, TAKEN, None, True),
    (rows_alone, TAKEN, AGAIN, False),
    (whole, TAKEN, None, True),
    (cut_off, TAKEN, None, True),
    (empty_description, None, UNREAD, None),
    (no_description, TAKEN, UNREAD, None),
    (somebody_elses, None, ABSENT, None),
]


@pytest.mark.parametrize(("make", "new"), [(state[0], state[1]) for state in STATES])
def test_a_new_sweep_in_every_state_of_its_directory(make, new, tmp_path):
    make(tmp_path / "x")
    before = sorted(tmp_path.rglob("*"))
    if new is None:
        claim_experiment(str(tmp_path), "x", resume=False).release()
        assert not can_restore(str(tmp_path / "x"))  # of an earlier start nothing is gone on with
        assert not (tmp_path / "x" / "scheduler").exists()
        assert make is not somebody_elses or (tmp_path / "x" / "thesis.tex").exists()
        return
    with pytest.raises(ValueError, match=f"^{new.format(tmp_path)}"):
        claim_experiment(str(tmp_path), "x", resume=False)
    lock = [tmp_path / "x" / ".owner.lock"]
    assert sorted(tmp_path.rglob("*")) == sorted(before + lock)  # nothing of value is touched


def resumed_from(path: str) -> Earlier:
    storage, _, name = path.rpartition("/")
    with claim_experiment(storage, name, resume=True):
        return Earlier.of(path)


@pytest.mark.parametrize(("make", "line", "restores"), [(s[0], s[2], s[3]) for s in STATES])
def test_a_resumed_sweep_in_every_state_of_its_directory(make, line, restores, tmp_path):
    make(tmp_path / "x")
    path = str(tmp_path / "x")
    if restores is None:
        with pytest.raises(ValueError, match=f"^{line.format(tmp_path)}") as caught:
            resumed_from(path)
        assert "\n" not in str(caught.value)
        return
    earlier = resumed_from(path)
    assert earlier.restores == restores
    said = earlier.beginning("x", str(tmp_path))
    assert said == (line and line.format(tmp_path))
    resumed = earlier.resumed(SPACE, replace(ASKED, concurrent=None), path)
    assert resumed.concurrent == (2 if earlier.description else None)


def test_a_state_that_a_crash_cut_off_is_set_aside_with_a_line(tmp_path, capsys):
    cut_off(tmp_path / "x")
    assert can_restore(str(tmp_path / "x"))
    name = STATE.format(2)
    said = f"the saved state {name} of {tmp_path}/x is damaged: it is now damaged-{name}\n"
    assert capsys.readouterr().err == said
    assert sorted(path.name for path in (tmp_path / "x").glob("*state*")) == [
        f"damaged-{name}",
        STATE.format(1),
    ]


def test_what_may_change_and_what_may_not(tmp_path):
    saved(tmp_path / "x", trials=3)
    path = str(tmp_path / "x")
    earlier = Earlier.of(path)
    for changes in (
        {"trials": 30},
        {"trials": 3},
        {"concurrent": 5},
        {"cpus_per_trial": 2},
        {"max_failures": 7},
        {"keep_checkpoints": "all"},
        {"checkpoint_every": 2},
        {"progress": False},
    ):
        asked = replace(ASKED, **changes)
        assert earlier.resumed(SPACE, asked, path) == asked
    message = rf"^trials must be at least 3, which the sweep to resume has begun, got 2 \({path}\)$"
    with pytest.raises(ValueError, match=message):
        earlier.resumed(SPACE, replace(ASKED, trials=2), path)
    message = rf'^rule must be "fifo" as in the sweep to resume, got "pareto" \({path}\)$'
    with pytest.raises(ValueError, match=message):
        earlier.resumed(SPACE, replace(ASKED, rule="pareto"), path)
    held = {**SPACE, "target_flops": 7e5}
    with pytest.raises(ValueError, match=r"^target_flops must be null .* got 0.7 MFLOPs"):
        earlier.resumed(held, ASKED, path)


def test_trials_keep_their_threads_when_they_get_other_cores(tmp_path):
    """Results depend on the number of threads, and not on that of cores."""
    (tmp_path / "x").mkdir()
    Description.of({**SPACE, "threads": 3}, ASKED).write(str(tmp_path / "x"))
    earlier = Earlier.of(str(tmp_path / "x"))
    assert prepare._threads(replace(ASKED, cpus_per_trial=8), earlier) == 3
    assert prepare._threads(replace(ASKED, cpus_per_trial=8), None) == 8


def test_without_a_name_the_next_free_one_is_taken_and_the_newest_resumed(tmp_path):
    storage = str(tmp_path / "results")

    def next_name(base="d-seed1"):
        with claim_new(storage, base) as held:
            return held.name

    assert next_name() == newest_name(storage, "d-seed1") == "d-seed1"
    for name, following in (
        ("d-seed1", "d-seed1-2"),
        ("d-seed1-2", "d-seed1-3"),
        ("d-seed1-9", "d-seed1-10"),
        ("d-seed1-10", "d-seed1-11"),
    ):
        (tmp_path / "results" / name).mkdir(parents=True)
        assert next_name() != following  # an empty directory is no experiment
        (tmp_path / "results" / name / "front.parquet").touch()
        assert next_name() == following
        assert newest_name(storage, "d-seed1") == name
    described(tmp_path / "results" / "d-seed1-11")
    assert next_name() == "d-seed1-11"  # which has no results
    assert newest_name(storage, "d-seed1") == "d-seed1-11"
    assert next_name("d-seed") == "d-seed"


def test_the_command_says_which_sweep_it_goes_on_with(tmp_path, monkeypatch, capsys):
    described(tmp_path / "digits-demo-seed0")
    described(tmp_path / "digits-demo-seed0-2")
    words = ["--resume", "--data", "digits", "--storage-path", str(tmp_path), "--epochs", "7"]
    kind, _ = command.sweep_command(words)
    asked = kind(resume=True, data="digits", storage_path=str(tmp_path), epochs=7)
    with pytest.raises(ValueError, match=rf"as in .* resume.* \({tmp_path}/digits-demo-seed0-2\)$"):
        asked.run()
    said = capsys.readouterr().err
    assert said == f"going on with sweep digits-demo-seed0-2 in {tmp_path}\n"
    monkeypatch.setattr(run, "run_claimed", lambda *given, **more: sys.exit(given[1].name))
    with pytest.raises(SystemExit, match=r"^digits-demo-seed0$"):
        kind(data="digits", storage_path=str(tmp_path)).run()


class Proposals:
    """What a searcher proposes, and the trials of it that run."""

    def __init__(self, proposed, running):
        self.proposed, self.running = proposed, running

    def go_on(self, searcher, trials, still):
        """Until there are so many trials, of which so many still run."""
        self.searcher = searcher
        while len(self.proposed) < trials or len(self.running) > still:
            if len(self.proposed) == trials or not self.ask():
                self.end_one()

    def ask(self):
        name = f"t{len(self.proposed)}"
        config = self.searcher.suggest(name)
        if config is None:
            assert self.running, "nothing runs, and nothing is proposed"
            return False
        self.running.append((name, config))
        self.proposed.append(tuple(sorted(config.items())))
        return True

    def end_one(self):
        name, config = self.running.pop(0)
        values = (0.5 + config["temperature_end"], 1e6 / config["penalty_strength"])
        result = dict(zip((name for name, _ in OBJECTIVES), values, strict=True))
        self.searcher.on_trial_complete(name, {**result, "epoch": 3})


@pytest.mark.parametrize("rule", ["pareto", "fifo"])
@pytest.mark.parametrize("searcher", ["pareto", "tpe", "nsga2", "gp", "random"])
@pytest.mark.parametrize("ended", [4, 3], ids=["after its end", "interrupted"])
def test_a_searcher_goes_on_with_more_trials_and_another_number_at_a_time(
    searcher, rule, ended, tmp_path
):
    def made(trials, concurrent):
        found = make_searcher(
            searcher,
            concurrent=concurrent,
            points=starting_points(SPACE, trials, 0),
            max_t=None if rule == "fifo" else 3,
        )
        assert found.set_search_properties(None, None, SPACE)
        return found

    first = Proposals([], [])
    first.go_on(made(4, 2), trials=4, still=4 - ended)
    first.searcher.save(str(tmp_path / "state"))
    for concurrent in (1, 3):  # fewer at a time than were open, and more
        again = made(9, concurrent)
        again.restore(str(tmp_path / "state"))
        later = Proposals(first.proposed[:], first.running[:])
        later.go_on(again, trials=9, still=concurrent)
        assert len(set(later.proposed)) == 9


def test_a_discrete_space_goes_on_with_the_combinations_that_are_left(tmp_path):
    from ray import tune

    fixed = {"temperature_start": (1.0, 1.0), "temperature_end": (0.1, 0.1)}
    space = {
        **sweep_space(**TINY, penalty=(1.0, 1.0), schedules=["linear"], **fixed),
        "seed": tune.randint(0, 8),
    }

    def made(trials):
        found = make_searcher("tpe", concurrent=2, points=starting_points(space, trials, 0))
        found.set_search_properties(None, None, space)
        return found

    seeds = []
    first = made(3)
    for trials, found in ((3, first), (8, None)):
        if found is None:
            first.save(str(tmp_path / "state"))
            found = made(8)
            found.restore(str(tmp_path / "state"))
        while len(seeds) < trials:
            config = found.suggest(f"t{len(seeds)}")
            assert config is not None
            found.on_trial_complete(f"t{len(seeds)}", {"child_accuracy": 0.5, "flops": 1.0})
            seeds.append(config["seed"])
    assert sorted(seeds) == list(range(8))


def test_tunes_generator_goes_on_counting_up_to_the_trials_now_asked_for():
    experiment = SimpleNamespace(spec={"num_samples": 4, "max_failures": 1, "config": {}})
    searcher = make_searcher("tpe", concurrent=1)
    generator = SweepGenerator(
        searcher, 9, {"max_failures": 5}, places={"data_place": "/new"}, restores=True
    )
    state = {"counter": 4, "total_samples": 4, "finished": False, "experiment": experiment}
    generator.set_state(state)
    assert not generator.is_finished()
    assert generator.total_samples == 9
    assert generator.get_state()["counter"] == 4
    assert experiment.spec["max_failures"] == 5
    assert experiment.spec["config"] == {"data_place": "/new"}
    with pytest.raises(ValueError, match=r"^sweep to resume must be one that Tune can read, got: "):
        generator.add_configurations([])  # what Tune does when it could not read what it saved
