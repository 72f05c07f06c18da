"""A search space and a method from outside the package run a whole sweep: front, pictures, tab."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from own_space import Tower, TowerSpace
from pareto_logs import serve

from snas_tune.architecture import Picks, read_architecture
from snas_tune.config import SAMPLINGS, SearchConfig
from snas_tune.front import ParetoFront
from snas_tune.search.checkpoint import load_search, save_search
from snas_tune.search.methods.snas import Snas
from snas_tune.search.search import Search
from snas_tune.space.choices import one_hot
from snas_tune.sweep import SweepSettings, run_sweep, sweep_space, write_pictures

HERE = Path(__file__).parent

TOWER = {
    "space": "own_space:TowerSpace",
    "epochs": 2,
    "limit_images": 300,
    "batch_size": 16,
    "penalty_strength": 0.3,
    "threads": 1,
}
REINFORCE = {"method": "own_method:Reinforce"}


def own_code(name: str) -> list[str]:
    """The lines of a file but for its docstring, imports and blank lines."""
    lines = (HERE / name).read_text().split('"""', 2)[2].splitlines()
    return [line for line in lines if line.strip() and not re.match("(from|import) ", line)]


def test_a_space_and_a_method_take_forty_lines_each():
    assert len(own_code("own_space.py")) <= 40
    assert len(own_code("own_method.py")) <= 40


@pytest.mark.parametrize(
    "changes",
    [*({"sampling": sampling} for sampling in SAMPLINGS), {"penalty_gradient": "score"}, REINFORCE],
)
def test_a_search_of_them_goes_on_from_its_checkpoint_bit_for_bit(tmp_path, changes):
    first = Search(SearchConfig(**TOWER, **changes))
    first.run_epoch()
    save_search(first, tmp_path)
    second = load_search(tmp_path)
    reports = [search.run_epoch() for search in (first, second)]
    for name, value in reports[0].items():
        if not name.startswith("seconds"):
            assert reports[1][name] == value or value != value, name


def test_the_parts_of_the_images_that_a_method_asks_for_share_none():
    search = Search(SearchConfig(**TOWER, **REINFORCE))
    weights, choices = search.parts
    assert len(weights) == len(choices) == len(search.data.train) // 2
    assert not set(weights.tolist()) & set(choices.tolist())
    assert search.steps_per_epoch == len(weights) // TOWER["batch_size"]


def test_every_child_costs_and_computes_what_the_supernet_does_under_its_sample():
    search = Search(SearchConfig(**TOWER, precision="float64"))
    search.run_epoch()
    space, supernet = search.space, search.supernet.eval()
    images = torch.rand(5, 1, 8, 8, dtype=torch.float64)
    every = list(itertools.product(*(range(len(choice.options)) for choice in space.choices)))
    assert len(every) == 6
    for picks in every:
        architecture = space.derive(picks)
        assert space.picks(read_architecture(architecture.to_json())) == list(picks)
        sample = one_hot(picks, space.choices).double()
        child = space.child(architecture).double().eval()
        child.inherit(supernet)
        torch.testing.assert_close(child(images), supernet(images, sample))
        for name in ("flops", "params", "memory"):
            cost = space.cost(name)
            assert cost.of_sample(sample).item() == space.child_cost(name, architecture)
    largest = max(space.child_cost("flops", space.derive(picks)) for picks in every)
    assert search.flops.largest() == largest


def test_bad_settings_of_a_space_and_a_method_give_one_line():
    for changes, message in (
        ({"space": "tower"}, r"space must be one of cell, or module:name, got 'tower'"),
        ({"space": "no_module:Space"}, r"space must be importable, got 'no_module:Space' \("),
        ({"method": "darwin"}, r"method must be one of snas, or module:name, got 'darwin'"),
        ({"method": "own_method:No"}, r"method must be importable, got 'own_method:No' \("),
        ({"drop_path": 0.2}, r"drop_path must be 0 in space tower, which has no paths to drop, go"),
        ({"supernet": "fused"}, r"supernet must be auto or one of plain in space tower, got 'fuse"),
    ):
        with pytest.raises(ValueError, match=rf"^{message}"):
            Search(SearchConfig(**{**TOWER, **changes}))
    stranger = Picks("tower", (("layer0", "conv1"), ("layer1", "conv7")))
    space = Search(SearchConfig(**TOWER)).space
    with pytest.raises(ValueError, match=r"^layer1 must be one of conv1, conv3, got 'conv7'$"):
        space.child(stranger)


@pytest.mark.timeout(300)
def test_a_sweep_of_them_ends_in_a_front_pictures_and_the_tab(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    settings = {name: value for name, value in TOWER.items() if name != "penalty_strength"}
    result = run_sweep(
        sweep_space(**settings, **REINFORCE),
        SweepSettings(name="own", storage_path=str(tmp_path), trials=3, rule="fifo"),
    )
    assert result.problems == []
    front = ParetoFront.read(result.path)
    assert len(front) == 3 * TOWER["epochs"]
    for row in front.rows:
        architecture = read_architecture(row["architecture"])
        assert (architecture.space, len(architecture.picks)) == ("tower", 2)
    assert "layer0 conv" in front.table_text()
    pictures = write_pictures(result, tmp_path / "pictures")
    drawn = [path for path in pictures if path.parent.name == "architectures"]
    assert len(drawn) == len(front.distinct)
    texts = ["".join(ElementTree.parse(path).getroot().itertext()) for path in drawn]
    assert all("layer0" in text and "conv" in text for text in texts)
    with serve(Path(result.path) / "tensorboard") as tensorboard:
        answer = tensorboard.with_points(len(front)).get("points", x="flops", y="child_accuracy")
        assert sorted(answer["x"]) == sorted(row["flops"] for row in front.rows)
        run, step = answer["runs"][answer["run"][0]]["name"], answer["step"][0]
        found = tensorboard.get("architecture", run=run, step=step)
        assert found["short"].startswith("layer0 conv")


class Deaf(TowerSpace):
    def child(self, architecture, *, affine=False):
        return super().child(architecture).layers  # a module, but no child: it cannot inherit

    def child_cost(self, name, architecture, *, keep_unused=False):
        return float(self.picks(architecture)[0])


class Loud(Tower):
    def forward(self, *arguments):
        return super().forward(*arguments).repeat(1, 2)


class LoudSpace(TowerSpace):
    def supernet(self, implementation):
        options = [choice.options for choice in self.choices]
        return Loud(options, self.images.channels, self.images.classes)


class Undecided(Snas):
    def choose(self, accuracy):
        return [0]


class Partless(Snas):
    parts = ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"space": "Deaf"},
            r"^child of space tower must have a method inherit\(supernet\), got a ",
        ),
        ({"method": "Partless"}, r"^parts of a method must be names, one or more, got \(\)$"),
        (
            {"space": "LoudSpace"},
            r"^supernet of space tower must answer a batch with class logits of shape \(16, 10\), "
            r"got \(16, 20\)$",
        ),
        (
            {"method": "Undecided"},
            rf"^method {__name__}:Undecided must choose one option of each of 2 choices by "
            r"position, got \[0\]$",
        ),
    ],
)
def test_networks_and_choices_of_the_wrong_shape_give_one_line_by_the_first_epoch(changes, message):
    named = {name: f"{__name__}:{value}" for name, value in changes.items()}
    with pytest.raises(ValueError, match=message):
        Search(SearchConfig(**{**TOWER, **named})).run_epoch()


def test_more_sampled_options_than_any_choice_has_are_all_of_them():
    search = Search(SearchConfig(**TOWER, sampling="top_k", sampled_ops=7))
    assert search.method.draw(0, torch.Generator()).active == [[0, 1, 2], [0, 1]]
