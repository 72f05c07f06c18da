"""The page of the Pareto tab: its arithmetic, and logs as they come, of any program."""

from __future__ import annotations

import json

import numpy as np
import pytest
import ray
from browsers import chosen, key, open_tab, saved
from conftest import TINY
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pareto_logs import serve, some_report, unimportable, write_sweep
from ray import tune

from snas_tune.architecture import Picks
from snas_tune.config import SearchConfig
from snas_tune.front import ParetoFront, hypervolume, nondominated
from snas_tune.space.cell.genotype import Genotype
from snas_tune.sweep import SweepSettings, quiet_ray, run_sweep, sweep_space
from snas_tune.tensorboard_log import SweepLog

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


numbers = st.integers(0, 6).map(float)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    points=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=25),
    modes=st.tuples(st.sampled_from(["min", "max"]), st.sampled_from(["min", "max"])),
)
def test_dominance_in_the_browser_is_that_of_the_front(page, points, modes):
    xs, ys = zip(*points, strict=True)
    signs = [1 if mode == "min" else -1 for mode in modes]
    corner = [7.0 if mode == "min" else -1.0 for mode in modes]
    front, volumes, least = page.frame.evaluate(
        """async ([xs, ys, [sx, sy], corner]) => {
          const front = await import('/data/plugin/pareto/static/front.js');
          const places = [...xs.keys()];
          return [front.frontOf(xs, ys, places, sx, sy),
            front.hypervolumes(xs, ys, places, sx, sy, corner),
            front.best(xs, ys, places, sx, sy, xs[0], null)];
        }""",
        [xs, ys, signs, corner],
    )
    assert sorted(front) == np.flatnonzero(nondominated(points, modes)).tolist()
    expected = [hypervolume(points[: i + 1], modes, corner) for i in range(len(points))]
    assert volumes == pytest.approx(expected)
    within = [i for i, x in enumerate(xs) if signs[0] * x <= signs[0] * xs[0]]
    assert least == min(within, key=lambda i: (signs[1] * ys[i], signs[0] * xs[i], i))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    groups=st.lists(
        st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), min_size=1, max_size=5
    )
)
def test_the_attained_band_is_that_of_its_definition(page, groups):
    points = [point for group in groups for point in group]
    xs, ys = zip(*points, strict=True)
    places, start = [], 0
    for group in groups:
        places.append(list(range(start, start + len(group))))
        start += len(group)
    levels = [0.25, 0.5, 0.75]
    curves = page.frame.evaluate(
        """async ([xs, ys, groups, levels]) => {
          const front = await import('/data/plugin/pareto/static/front.js');
          return front.attainment(xs, ys, groups, 1, -1, levels);
        }""",
        [xs, ys, places, levels],
    )
    for level, curve in zip(levels, curves, strict=True):
        for x in range(7):
            # The best y of each group at a cost of at most x; the level's share of groups attains
            # the y below which no more of them are.
            best = sorted(
                (max((y for a, y in group if a <= x), default=-1.0) for group in groups),
                reverse=True,
            )
            attained = best[max(0, int(np.ceil(level * len(groups))) - 1)]
            told = [y for a, y in curve if a <= x]
            assert (told[-1] if told else -1.0) == attained


def test_points_appear_while_a_sweep_writes(browser, tmp_path):
    generator = np.random.default_rng(0)
    log = SweepLog(tmp_path)
    config = SearchConfig(penalty_strength=1.0)
    log.start_trial("one", config)
    log.add_result("one", some_report(generator, 1, 1.0))
    with serve(tmp_path) as tensorboard:
        tab = open_tab(browser, tensorboard.with_points(1))
        tab.count(1)
        assert tab.keys() == ["one|1"]
        for epoch in (2, 3):
            log.add_result("one", some_report(generator, epoch, 1.0))
        log.start_trial("two", config)
        log.add_result("two", some_report(generator, 1, 1.0))
        tab.count(4)  # by itself: nobody pressed reload
        assert "4 points of 2 runs" in tab.text(".status")
        log.add_result("two", some_report(generator, 2, 1.0))
        tensorboard.with_points(5)
        tab.page.locator(".reload-button, [aria-label*=eload]").first.click()
        tab.count(5)
        log.close()
        tab.check()
        tab.page.close()


HTML = "<img src=x onerror=alert(1)>"


def test_names_with_html_are_texts_and_no_runs_are_said(browser, tmp_path):
    with serve(tmp_path) as tensorboard:
        tab = open_tab(browser, tensorboard)
        assert "No run has two scalars yet." in tab.text(".status")
        log = SweepLog(tmp_path)
        config = SearchConfig(penalty_strength=1.0, data=f"{HTML}&'\"")
        log.start_trial(HTML.replace("/", ""), config)
        report = some_report(np.random.default_rng(0), 1, 1.0)
        log.add_result(HTML, {**report, "child_accuracy": 0.5})
        log.close()
        tab.count(1)
        assert tab.keys() == [f"{HTML}|1"]
        tab.find("tr[data-key] button").click()
        tab.wait("() => document.querySelector('section.chosen code.architecture')")
        assert HTML in tab.text("section.chosen h2")
        assert tab.find("img:not(.part)").count() == 0
        tab.check()
        tab.page.close()


def test_an_architecture_of_a_newer_version_is_said(browser, tmp_path):
    log = SweepLog(tmp_path)
    log.start_trial("one", SearchConfig(penalty_strength=1.0))
    report = some_report(np.random.default_rng(0), 1, 1.0)
    newer = json.dumps({**json.loads(report["architecture"]), "format": 7})
    log.add_result("one", {**report, "architecture": newer})
    log.close()
    with serve(tmp_path) as tensorboard:
        tab = open_tab(browser, tensorboard.with_points(1), sel="one|1")
        tab.wait("() => document.querySelector('section.chosen .error')")
        assert "format of the architecture must be 1, got 7" in tab.text("section.chosen .error")
        assert tab.problems == [p for p in tab.problems if "status of 400" in p]
        tab.page.close()


def test_architectures_of_any_space_are_drawn_and_compared(browser, tmp_path):
    log = SweepLog(tmp_path, experiment="/sweeps/my toy")
    log.start_trial("toy", SearchConfig(penalty_strength=1.0))
    options = {1: ("3", "relu"), 2: ("5", "relu")}
    for epoch, picks in options.items():
        report = some_report(np.random.default_rng(epoch), epoch, 1.0)
        report["flops"], report["child_accuracy"] = epoch * 10**6, 0.5 + 0.1 * epoch
        architecture = Picks("toy", dict(zip(("kernel", "activation"), picks, strict=True)))
        log.add_result("toy", {**report, "architecture": architecture.to_json()})
    log.close()
    with serve(tmp_path) as tensorboard:
        tab = open_tab(browser, tensorboard.with_points(2), sel="toy|1", pin="toy|2")
        tab.wait("() => document.querySelector('section.difference table')")
        told = [row.inner_text().split() for row in tab.find("section.difference tbody tr").all()]
        assert told == [["kernel", "3", "5"]]
        tab.wait("() => document.querySelector('section.chosen img.part')?.naturalWidth > 100")
        assert tab.find("section.chosen img.part").count() == 1
        assert '"picks":{"kernel":"3","activation":"relu"}' in tab.text("code.architecture")
        command = tab.text("section.chosen code.command")
        assert command.startswith("snas-tune take '/sweeps/my toy' --pick toy:1 ")
        tab.check()
        tab.page.close()


def test_seeds_and_several_sweeps(browser, tmp_path):
    fronts = [
        write_sweep(tmp_path / name, 4, 3, seeds=(0, 1, 2), seed=i) for i, name in enumerate("ab")
    ]
    with serve(tmp_path) as tensorboard:
        tab = open_tab(browser, tensorboard.with_points(72))
        assert [s.inner_text() for s in tab.find(".legend .sweep").all()] == ["a", "b"]
        lines = tab.find("path.front")
        assert lines.count() == 2
        assert lines.first.get_attribute("stroke") != lines.last.get_attribute("stroke")
        rows = [
            {**row, "trial": f"{n}/tensorboard/{row['trial']}"}
            for n, front in zip("ab", fronts, strict=True)
            for row in front.rows
        ]
        assert tab.keys() == [key(row) for row in ParetoFront.from_rows(rows).distinct]
        text = saved(tab, "CSV").splitlines()
        assert text[0].startswith("sweep,trial,epoch,")
        assert [line.partition(",")[0] for line in text[1:]] == ["a"] * 36 + ["b"] * 36
        tab.find("select[name=seeds]").select_option("mean")
        tab.count(24)
        assert tab.find("path.whisker").count() == 24
        tab.find("select[name=seeds]").select_option("band")
        tab.count(72)
        assert tab.find("path.band").count() == tab.find("path.median").count() == 1
        tab.check()
        tab.page.close()


def sphere(config):
    for step in range(3):
        tune.report({"error": config["x"] ** 2 + 1 / (1 + step), "cost": 10 * config["y"]})


@pytest.fixture(scope="module")
def ray_logs(tmp_path_factory):
    """A real sweep of ours, and one of Ray Tune with a trainable that knows nothing of us."""
    folder = tmp_path_factory.mktemp("ray")
    quiet_ray(cpus=2)
    import test_pareto_browser_logs

    ray.cloudpickle.register_pickle_by_value(test_pareto_browser_logs)
    try:
        swept = run_sweep(
            sweep_space(**{**TINY, "epochs": 2}),
            SweepSettings(name="ours", storage_path=str(folder / "snas"), trials=2, rule="fifo"),
        )
        tune.run(
            sphere,
            config={"x": tune.grid_search([0.5, 1, 2]), "y": 3},
            verbose=0,
            storage_path=str(folder / "any"),
            name="theirs",
        )
    finally:
        ray.cloudpickle.unregister_pickle_by_value(test_pareto_browser_logs)
        ray.shutdown()
    return folder, swept


def test_the_log_of_a_real_sweep(browser, ray_logs, tmp_path):
    folder, swept = ray_logs
    with serve(folder / "snas") as tensorboard:
        tab = open_tab(browser, tensorboard.with_points(len(swept.front)))
        prefix = "ours/tensorboard/"
        # The table has a run's points of the same place once; so short a search has several there.
        places = {
            (row["trial"], row["flops"], row["child_accuracy"]): row
            for row in reversed(swept.front.front)
        }
        once = [row for row in swept.front.front if any(row is each for each in places.values())]
        assert tab.keys() == [f"{prefix}{key(row)}" for row in once]
        swept.front.to_csv(tmp_path / "front.csv")
        assert saved(tab, "CSV") == (tmp_path / "front.csv").read_text()
        tab.click_point(f"{prefix}{key(once[-1])}")
        tab.wait("() => document.querySelector('code.architecture')")
        row = next(r for r in swept.front.rows if f"{prefix}{key(r)}" == chosen(tab))
        assert tab.text("code.architecture") == Genotype.from_json(row["architecture"]).to_text()
        assert f"snas-tune take {swept.path} --pick {row['trial']}:" in tab.text("code.command")
        tab.check()
        tab.page.close()


def test_the_log_of_any_ray_tune_run(browser, ray_logs):
    with serve(ray_logs[0] / "any") as tensorboard:
        tensorboard.with_points(9, "ray/tune/cost", "ray/tune/error")
        tab = open_tab(browser, tensorboard, x="ray/tune/cost", y="ray/tune/error", ydir="min")
        tab.count(3)
        assert tab.find("tr[data-key]").count() == 1
        tab.find("tr[data-key] button").click()
        tab.wait("() => document.querySelector('section.chosen')")
        assert "This run logged no architectures." in tab.text("section.chosen")
        assert "x" in tab.text("section.chosen table.settings")
        tab.check()
        tab.page.close()


def test_the_tab_opens_where_ray_and_torch_cannot_be_imported(browser, written, tmp_path):
    environment = unimportable(tmp_path)
    with serve(written[0] / "tensorboard", environment=environment) as tensorboard:
        tab = open_tab(browser, tensorboard.with_points(len(written[1])))
        tab.count(len(written[1]))
        tab.check()
        tab.page.close()
