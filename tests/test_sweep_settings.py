"""What SweepSettings refuses, in one short line, and what it takes."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest
import torch

from snas_tune.config import SearchConfig
from snas_tune.sweep import SweepSettings


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("", "a text"),
        (" ", "a text"),
        (3, "a text"),
        ("a/b", "that of a directory, without a slash"),
        ("..", "that of a directory"),
        ("a" * 256, "of at most 255 bytes"),
        ("\u00e9" * 128, "of at most 255 bytes"),
        ("a\0b", "without line breaks and other control characters"),
        ("a\nb", "without line breaks"),
        ("\ud800", "without line breaks"),
    ],
)
def test_a_name_that_is_no_directory_is_refused(name, rule):
    with pytest.raises(ValueError, match=rf"^name must be {rule}.*, got ") as caught:
        SweepSettings(name=name)
    assert "\n" not in str(caught.value)
    for kept in ("-x", "a b#%&?:", "\u00e9" * 127, "x\U0001f600", "a" * 255):
        assert SweepSettings(name=kept).name == kept


@pytest.mark.parametrize(
    ("setting", "value", "rule"),
    [
        ("storage_path", None, "a text"),
        ("storage_path", "a\0b", "without line breaks"),
        ("storage_path", "s3://", "a folder, or a URI such as"),
        ("storage_path", "://x", "a folder, or a URI such as"),
        ("storage_path", "~no_such_user/x", "in the home of a user of this machine"),
        ("storage_path", "a/" + "b" * 256, "of parts of at most 255 bytes"),
        ("storage_path", "a/" * 5000, "at most 4096 bytes"),
        ("address", "nonsense", "auto, or HOST:PORT, or ray://HOST:PORT"),
        ("address", "http://host:1", "auto, or HOST:PORT"),
        ("trials", 10**7, "at most 1000000"),
        ("machines", 10**400, "a positive whole number and below"),
        ("cpus_per_trial", 10**400, "positive and below"),
        ("max_failures", 10**9, "at most 1000000"),
    ],
)
def test_a_place_or_a_size_that_cannot_be_is_refused_in_a_short_line(setting, value, rule):
    with pytest.raises(ValueError, match=rf"^{setting} must be {re.escape(rule)}") as caught:
        SweepSettings(**{"name": "x", setting: value})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_numbers_of_numpy_and_torch_become_pythons():
    mine = SweepSettings(
        name=np.str_("x"), trials=np.int64(3), cpus_per_trial=np.float32(0.5), resume=np.bool_(True)
    )
    assert (mine.name, mine.trials, mine.cpus_per_trial, mine.resume) == ("x", 3, 0.5, True)
    kinds = [type(getattr(mine, n)) for n in ("name", "trials", "cpus_per_trial", "resume")]
    assert kinds == [str, int, float, bool]
    config = SearchConfig(cells=torch.tensor(5), penalty_costs={"flops": np.float64(2)})
    assert type(config.cells) is int
    assert json.loads(config.to_json())["penalty_costs"] == {"flops": 2.0}
    for address in ("auto", "10.0.0.1:6379", "ray://head:10001", "[::1]:6379"):
        assert SweepSettings(name="x", address=address).address == address


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials must be a positive whole number, got 0"),
        ({"trials": True}, "trials must be a positive whole number, got True"),
        ({"trials": 1.5}, "trials must be a positive whole number, got 1.5"),
        ({"trials": "3"}, "trials must be a positive whole number, got '3'"),
        ({"cpus_per_trial": 0}, "cpus_per_trial must be positive, got 0"),
        ({"cpus_per_trial": math.nan}, "cpus_per_trial must be positive, got nan"),
        ({"cpus_per_trial": math.inf}, "cpus_per_trial must be positive and finite, got inf"),
        ({"cpus_per_trial": "two"}, "cpus_per_trial must be positive, got 'two'"),
        ({"gpus_per_trial": -1}, "gpus_per_trial must be 0 or more, got -1"),
        ({"gpus_per_trial": math.nan}, "gpus_per_trial must be 0 or more, got nan"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial must be whole above 1, got 1.5"),
        ({"searcher": "grid"}, "searcher must be one of pareto, tpe, nsga2, gp, random, got 'grid"),
        ({"rule": "best"}, "rule must be one of pareto, .*, fifo, got 'best'"),
        ({"grace_period": 0}, "grace_period must be a positive whole number, got 0"),
        ({"reduction_factor": 1}, "reduction_factor must be above 1, got 1"),
        ({"reduction_factor": math.inf}, "reduction_factor must be above 1 and finite, got inf"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4294967295, got 4294967296"),
        ({"concurrent": 0}, "concurrent must be a positive whole number, got 0"),
        ({"concurrent": True}, "concurrent must be a positive whole number, got True"),
        ({"checkpoint_every": 0}, "checkpoint_every must be a positive whole number, got 0"),
        (
            {"keep_checkpoints": 0},
            "keep_checkpoints must be front, all or a whole number from 1 to",
        ),
        ({"machines": 0}, "machines must be a positive whole number, got 0"),
        ({"max_failures": -1}, "max_failures must be a whole number, 0 or more, got -1"),
        ({"resume": "yes"}, "resume must be true or false, got 'yes'"),
        ({"storage_path": ""}, "storage_path must be a text, got ''"),
    ],
)
def test_wrong_settings_of_a_sweep_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        SweepSettings(**{"name": "x", **arguments})


def test_a_link_that_leads_back_to_itself_is_told_as_a_path(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "there").symlink_to("back")
    (tmp_path / "back").symlink_to("there")
    (tmp_path / "onward").symlink_to("nowhere")
    for path in ("loop", "there", "loop/inside"):
        rule = "must be without a link that leads back to itself, got "
        with pytest.raises(ValueError, match=f"^storage_path {rule}"):
            SweepSettings(name="x", storage_path=f"{tmp_path}/{path}")
        with pytest.raises(ValueError, match=f"^data_root {rule}"):
            SearchConfig(data_root=f"{tmp_path}/{path}")
    assert SweepSettings(name="x", storage_path=f"{tmp_path}/onward")
