"""The driver's callback, with trials that only look like Tune's: what it writes, and how often."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace

import pytest
from fake_trials import LARGEST, FakeTrial, a_report, a_trial, keep, run

from snas_tune.config import SearchConfig
from snas_tune.front import ParetoFront
from snas_tune.sweep import SweepDriver, trial_name
from snas_tune.sweep.callbacks import tensorboard
from snas_tune.sweep.callbacks.progress import Progress
from snas_tune.sweep.callbacks.trials import slim
from snas_tune.sweep.callbacks.tune_files import TuneCsv, TuneJson
from snas_tune.tensorboard_log import SweepLog


@pytest.fixture
def trials(tmp_path):
    return [a_trial(tmp_path / "sweep", number) for number in range(8)]


def test_each_result_is_told_the_hypervolume_of_all_children_so_far(trials, tmp_path):
    results = run(SweepDriver(8, progress=False), trials)
    front = ParetoFront.read(tmp_path / "sweep")
    rows = {(row["trial"], row["epoch"]): row for row in front.rows}
    begun = []
    for number, result in enumerate(results):
        begun.append(rows[trial_name(trials[number // 3].config), result["epoch"]])
        expected = ParetoFront.from_rows(begun).hypervolume((0.0, LARGEST), normalised=True)
        assert result["hypervolume"] == pytest.approx(expected)
        assert result["children"] == number + 1


def test_a_config_is_parsed_once_a_trial(trials, monkeypatch, capsys):
    parsed = []
    whole = SearchConfig.from_dict
    monkeypatch.setattr(
        SearchConfig,
        "from_dict",
        staticmethod(lambda values: parsed.append(values["penalty_strength"]) or whole(values)),
    )
    run(SweepDriver(8), trials)
    assert capsys.readouterr().err.count("epoch 3/3") == 8
    assert sorted(parsed) == [trial.config["penalty_strength"] for trial in trials]


def test_the_front_is_drawn_rarely_and_its_last_state_always(trials, monkeypatch):
    drawn, sizes, clock = [], [], [0.0]
    monkeypatch.setattr(tensorboard, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def draw(log, front, ended):
        drawn.append((ended, int(front.mask.sum())))
        clock[0] += 1.0  # a second for the pictures

    monkeypatch.setattr(SweepLog, "draw_front", draw)
    monkeypatch.setattr(SweepLog, "add_front_size", lambda log, size, ended: sizes.append(size))
    driver = SweepDriver(8, progress=False)
    for trial in trials:
        run(driver, [trial], trials)
        clock[0] += 0.3 / tensorboard.DRAWING
    driver.on_experiment_end(trials)
    driver.on_experiment_end(trials)
    assert len(sizes) == len(trials)  # a number for each
    assert 2 <= len(drawn) <= 4  # 8 x 0.3 s of drawing are allowed, and the last one
    assert drawn[-1][1] == sizes[-1]
    assert len(set(drawn)) == len(drawn)


def test_the_size_of_the_front_counts_equal_children(trials, tmp_path):
    driver = SweepDriver(8, progress=False)
    run(driver, trials)
    front = ParetoFront.read(tmp_path / "sweep")
    assert driver.front.size == front.mask.sum() == len(front.front)


def test_checkpoints_are_named_as_far_as_they_are_kept(trials, tmp_path):
    run(SweepDriver(8, progress=False), trials)
    for row in ParetoFront.read(tmp_path / "sweep").rows:
        expected = {1: None, 2: "t/checkpoint_2", 3: "t/checkpoint_3"}[row["epoch"]]
        assert row["checkpoint"] == expected


def test_a_resumed_sweep_goes_on_with_the_children_of_the_first(trials, tmp_path):
    first = run(SweepDriver(8, progress=False), trials[:4])
    driver = pickle.loads(pickle.dumps(SweepDriver(8, progress=False)))
    last = trials[3]
    driver.on_trial_start(0, trials, last)
    keep(last, [3])
    result = {**first[-1], "epoch": 4}
    driver.on_trial_result(4, trials, last, result)
    driver.on_trial_save(4, trials, last)
    driver.on_trial_complete(4, trials, last)
    assert result["children"] == 13
    assert result["hypervolume"] >= first[-1]["hypervolume"]
    rows = ParetoFront.read(tmp_path / "sweep").rows
    assert len(rows) == 13
    named = {
        row["epoch"]: row["checkpoint"] for row in rows if row["trial"] == trial_name(last.config)
    }
    assert named == {1: None, 2: None, 3: "t/checkpoint_3", 4: None}  # renamed in the earlier rows


def test_every_child_is_exact_in_the_event_files(trials, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util import tensor_util

    driver = SweepDriver(8, progress=False)
    run(driver, trials)
    driver.on_experiment_end(trials)
    rows = ParetoFront.read(tmp_path / "sweep").rows
    for trial in trials:
        name = trial_name(trial.config)
        log = EventAccumulator(str(tmp_path / "sweep" / "tensorboard" / name)).Reload()
        children = log.Tensors("pareto/children")
        content = log.SummaryMetadata("pareto/children").plugin_data.content
        names = [column[0] for column in json.loads(content)["columns"]]
        vectors = [tensor_util.make_ndarray(event.tensor_proto) for event in children]
        mine = [row for row in rows if row["trial"] == name]
        assert [vector[names.index("flops")] for vector in vectors] == [r["flops"] for r in mine]
        assert [vector[names.index("child_accuracy")] for vector in vectors] == [
            row["child_accuracy"] for row in mine
        ]
        assert [event.step for event in log.Scalars("loss")] == [1, 2, 3]


def test_the_last_trial_leaves_no_time_even_if_it_was_stopped(tmp_path, capsys):
    first, last = a_trial(tmp_path, 0), a_trial(tmp_path, 1)
    first.finished, progress = True, Progress(2)
    for trials, done in (([first, last], False), ([first, last], True)):
        progress.result(trials, last, {**a_report(1, 0.5, 100), "seconds": 0.1, "done": done})
    running, ended = capsys.readouterr().err.splitlines()
    assert running.startswith("[1/2 trials, 0:00, about 0:00 left] ")
    assert ended.startswith("[2/2 trials, 0:00] ")


def test_a_result_and_an_end_cost_the_same_however_many_trials_have_ended(tmp_path):
    asked = []

    class Counted(FakeTrial):
        def __getattribute__(self, name):
            asked.append(name)
            return super().__getattribute__(name)

    ended = [Counted(**vars(a_trial(tmp_path, 0))) for _ in range(200)]
    for number, each in enumerate(ended):
        each.trial_id, each.finished = f"ended{number}", True
    driver = SweepDriver(300)
    (first, second) = (a_trial(tmp_path, number) for number in (1, 2))
    run(driver, [first], [*ended, first])
    asked.clear()
    run(driver, [second], [*ended, first, second])
    assert asked == []


def test_an_ended_trial_keeps_its_results_and_not_what_averages_them(trials):
    driver, trial = SweepDriver(8, progress=False), trials[0]
    trial.run_metadata.metric_n_steps = {"loss": {"5": [1.0]}}
    credit = {"credit/normal/0-2": {"last": 2.0}}
    trial.run_metadata.metric_analysis = {"loss": {"last": 1.0}, **credit}
    run(driver, [trial], trials)
    assert trial.run_metadata.metric_n_steps == {}
    assert trial.run_metadata.metric_analysis == {"loss": {"last": 1.0}}
    kept = trial.run_metadata.checkpoint_manager.best_checkpoint_results
    kept[0].metrics = {"epoch": 2, "credit/normal/0-2": 1.0, "config": {"seed": 0}, "flops": 7}
    trial.last_result = {"config": dict(trial.config)}
    trial._Trial__unresolved_config = dict(trial.config)
    slim(trial)
    assert kept[0].metrics == {"epoch": 2, "flops": 7}
    assert trial.last_result["config"] is trial._Trial__unresolved_config is trial.config


@pytest.mark.parametrize("logger", [TuneCsv, TuneJson])
def test_tunes_own_files_end_no_sweep(trials, tmp_path, capsys, logger):
    trial, files = trials[0], logger()
    trial.local_path, trial.checkpoint, trial.evaluated_params = str(tmp_path / "no"), None, {}
    (tmp_path / "no").write_text("a file in the way")
    trial.init_local_path = lambda: None
    files.on_trial_start(0, trials, trial)
    for epoch in (1, 2):
        files.on_trial_result(epoch, trials, trial, a_report(epoch, 0.5, 10))
    files.on_trial_complete(2, trials, trial)
    said = capsys.readouterr().err
    assert said.startswith("Tune's files of results lack a part: ")
    assert said.count("\n") == 1
