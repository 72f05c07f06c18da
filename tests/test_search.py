from __future__ import annotations

import logging
import math

import pytest
import torch
from conftest import TINY
from states import same

from snas_tune.config import DARTS_OPS, SearchConfig
from snas_tune.results import METRICS
from snas_tune.search.checkpoint import load_search, read_state, save_search
from snas_tune.search.search import Search
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.space.cell.cost import genotype_cost
from snas_tune.space.cell.genotype import Genotype
from snas_tune.space.cell.ops import OPS
from snas_tune.training.diverged import Diverged
from snas_tune.training.runtime import CompiledOrEager
from snas_tune.training.seeds import generator_for


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "drop_path": 0.3,
            "crop_padding": 1,
            "flip": True,
            "cutout": 2,
            "penalty_gradient": "score",
            "penalty_strength": 0.5,
        },
        {"sampling": "gdas"},
        {"sampling": "top_k"},
        {"sampling": "dsnas", "activation_checkpointing": True},
    ],
)
@pytest.mark.parametrize("implementation", ["plain", "fused"])
def test_six_steps_equal_three_a_restore_and_three_more_bit_for_bit(
    tmp_path, changes, implementation
):
    config = SearchConfig(**TINY, **changes, supernet=implementation)
    whole = Search(config)
    for _ in range(6):
        whole.take_step()
    first = Search(config)
    for _ in range(3):
        first.take_step()
    save_search(first, tmp_path)
    torch.manual_seed(123)  # the global state must not matter
    second = load_search(tmp_path)
    assert same(first, second)
    for _ in range(3):
        second.take_step()
    assert second.step == whole.step == 6
    assert same(whole, second)
    assert whole.evaluate() | {"seconds": 0} == second.evaluate() | {"seconds": 0}


@pytest.mark.parametrize("names", [("plain", "fused"), ("fused", "plain")])
def test_either_implementation_goes_on_from_a_checkpoint_of_the_other(tmp_path, names):
    first = Search(SearchConfig(**TINY, supernet=names[0]))
    for _ in range(3):
        first.take_step()
    save_search(first, tmp_path)
    other = load_search(tmp_path, supernet=names[1])
    assert (first.implementation.name, other.implementation.name) == names
    states = [search.state_dict() for search in (first, other)]
    for expected, found in (
        [state["supernet"] for state in states],
        [state["method"]["momenta"] for state in states],
    ):
        assert set(found) == set(expected)
        for name, tensor in expected.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-6, atol=1e-6, msg=name)
    assert len(found) > 50
    assert torch.equal(first.method.logits, other.method.logits)
    losses = [search.take_step().cross_entropy for search in (first, other)]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)
    moved = other.state_dict()["method"]["momenta"]
    for name, tensor in first.state_dict()["method"]["momenta"].items():
        torch.testing.assert_close(moved[name], tensor, rtol=1e-2, atol=1e-3, msg=name)


def test_in_float64_either_implementation_makes_the_same_search_to_its_end():
    """In float32 rounding differs between the two, and a search amplifies it."""
    settings = {**TINY, "ops": DARTS_OPS, "nodes": 2, "epochs": 4, "precision": "float64"}
    reports = []
    for name in ("plain", "fused"):
        search = Search(SearchConfig(**settings, penalty_strength=1.0, supernet=name))
        reports.append([search.run_epoch() for _ in range(4)])
        assert search.method.logits.dtype == torch.float64
    for ours, theirs in zip(*reports, strict=True):
        for name, value in ours.items():
            expected = (
                value
                if isinstance(value, str)
                else pytest.approx(value, rel=1e-7, abs=1e-9, nan_ok=True)
            )
            assert theirs[name] == expected or name.startswith("seconds"), name


def test_one_seed_fixes_a_search_and_another_gives_another(tiny):
    searches = [Search(c) for c in (tiny, tiny, SearchConfig(**TINY, seed=1))]
    for search in searches:
        search.take_step()
    assert same(searches[0], searches[1])
    assert not same(searches[0], searches[2])


def test_an_epoch_reports_every_metric_the_architecture_and_every_credit(tiny):
    search = Search(tiny)
    report = search.run_epoch()
    assert {m.name for m in METRICS} <= set(report)
    assert Genotype.from_json(report["architecture"]) == search.space.live(search.derive())
    assert report["flops"] == genotype_cost("flops", search.derive(), search.space.skeleton)
    credits = {key for key in report if key.startswith("credit/")}
    assert credits == {f"credit/{kind}/{s}-2" for kind in ("normal", "reduction") for s in (0, 1)}
    mean = sum(report[f"credit/normal/{s}-2"] for s in (0, 1)) / 2
    assert report["credit_normal"] == pytest.approx(mean)
    assert report["loss"] == pytest.approx(report["cross_entropy"] + report["penalty"])
    assert report["epoch"] == 1
    assert report["step"] == search.steps_per_epoch


def test_the_child_is_evaluated_at_the_chosen_epochs_and_at_the_end():
    search = Search(SearchConfig(**{**TINY, "epochs": 5}, child_every=2))
    evaluated = [not math.isnan(search.run_epoch()["child_accuracy"]) for _ in range(5)]
    assert evaluated == [False, True, False, True, True]
    with pytest.raises(RuntimeError, match=f"a search of {search.steps} steps is finished"):
        search.take_step()


def test_both_schedules_span_the_horizon(tiny):
    search = Search(tiny)
    assert search.method.temperature(0) == 1.0
    assert search.method.temperature(search.steps - 1) == pytest.approx(0.03)
    assert search.method.learning_rate(0) == pytest.approx(0.025)
    assert search.method.learning_rate(search.steps - 1) == pytest.approx(0.001)


def test_a_search_learns_and_its_child_with_it():
    search = Search(SearchConfig(**{**TINY, "epochs": 8, "limit_images": 600, "channels": 8}))
    first = search.run_epoch()
    while not search.finished:
        last = search.run_epoch()
    assert last["cross_entropy"] < 0.7 * first["cross_entropy"]
    assert last["child_accuracy"] > 0.5  # chance is 0.1
    assert last["entropy"] < first["entropy"]


def test_a_loss_that_is_not_a_number_is_a_failure_that_names_the_step(tiny):
    search = Search(tiny)
    search.take_step()
    with torch.no_grad():
        search.supernet.classifier.bias.fill_(math.nan)
    with pytest.raises(Diverged, match=r"^loss must be finite, got nan \(.* at step 1 \(pen"):
        search.run_epoch()


def test_a_checkpoint_of_another_search_space_is_refused_by_the_first_difference(tmp_path, tiny):
    save_search(Search(tiny), tmp_path)
    with pytest.raises(
        ValueError,
        match="checkpoint must be of the same search: its nodes is 1, this search has 2",
    ):
        load_search(tmp_path, nodes=2)


@pytest.mark.parametrize(
    "change", [{"seed": 7}, {"batch_size": 8}, {"limit_images": 60}, {"epochs": 4}]
)
def test_a_checkpoint_of_another_horizon_or_split_is_refused(tmp_path, change):
    search = Search(SearchConfig(**TINY))
    save_search(search, tmp_path)
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=rf"its {name} is .*, this search has {value}$"):
        load_search(tmp_path, **change)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 broken"])
def test_a_damaged_checkpoint_gives_one_line(tmp_path, content):
    (tmp_path / "search.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"checkpoint .*search.pt cannot be read: ") as error:
        read_state(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_checkpoint_gives_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint .* cannot be read: .*No such file"):
        read_state(tmp_path / "nowhere")


def test_a_checkpoint_is_replaced_and_never_half_there(tmp_path, tiny):
    search = Search(tiny)
    save_search(search, tmp_path)
    search.take_step()
    save_search(search, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["search.pt"]
    assert read_state(tmp_path)["step"] == 1


def test_a_precision_that_the_cpu_cannot_do_falls_back_with_one_line(caplog):
    with caplog.at_level(logging.WARNING):
        search = Search(SearchConfig(**TINY, precision="float16", device="cpu"))
    assert [r.message for r in caplog.records] == [
        "precision float16 needs a GPU; on cpu the search uses float32"
    ]
    assert search.take_step().cross_entropy.isfinite()


@pytest.mark.parametrize("changes", [{"precision": "bfloat16"}, {"channels_last": True}])
def test_a_setting_for_speed_stays_near_the_plain_search(changes, tiny):
    plain, fast = Search(tiny), Search(SearchConfig(**TINY, **changes))
    for _ in range(2):
        a, b = plain.take_step(), fast.take_step()
    torch.testing.assert_close(a.cross_entropy, b.cross_entropy, rtol=0.05, atol=0.05)
    assert math.isfinite(fast.evaluate()["child_accuracy"])


def test_a_compiled_module_computes_what_the_eager_one_does():
    module = torch.nn.Linear(3, 2)
    x = torch.randn(4, 3)
    torch.testing.assert_close(CompiledOrEager(module, backend="eager")(x), module(x))


def test_a_failing_compiler_falls_back_with_one_line(caplog):
    def broken(graph, inputs):
        raise RuntimeError("no compiler here\nsecond line")

    module = torch.nn.Linear(3, 2)
    with caplog.at_level(logging.WARNING):
        call = CompiledOrEager(module, backend=broken)
        torch.testing.assert_close(call(torch.ones(1, 3)), module(torch.ones(1, 3)))
        call(torch.ones(1, 3))
    (record,) = [r for r in caplog.records if r.name.startswith("snas_tune")]
    assert record.message.startswith("torch.compile failed, so the search runs eager: ")
    assert "\n" not in record.message


def test_an_error_of_the_caller_is_not_taken_for_the_compilers():
    call = CompiledOrEager(torch.nn.Linear(3, 2), backend="eager")
    call(torch.ones(1, 3))
    with pytest.raises(Exception, match="reduction dim"):
        call(torch.ones(1, 4))


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"device must be auto, or one of cpu, .*, got 'nonsense'"):
        Search(SearchConfig(**TINY, device="nonsense"))


def test_recalibration_changes_statistics_and_no_weight(tiny):
    search = Search(tiny)
    search.run_epoch()
    raw = ChildNetwork(search.derive(), search.space.skeleton, affine=False)
    raw.inherit(search.supernet)
    child = search.child()
    for (name, a), b in zip(child.named_parameters(), raw.parameters(), strict=True):
        assert torch.equal(a, b), name
    again = search.child()
    for a, b in zip(child.buffers(), again.buffers(), strict=True):
        assert torch.equal(a, b)


def test_logits_start_around_zero_with_the_spread_of_the_config():
    search = Search(SearchConfig(**{**TINY, "nodes": 3, "logits_spread": 0.5}))
    values = search.method.logits.detach()
    assert abs(values.mean().item()) < 0.2
    assert 0.4 < values.std().item() < 0.6
    assert not torch.equal(
        values, torch.randn(values.shape, generator=generator_for(0, "weights", 0))
    )


def test_training_more_classes_than_a_batch_holds_is_no_problem(noise_images):
    config = SearchConfig(cells=3, channels=2, nodes=1, batch_size=2, epochs=1, threads=1)
    search = Search(config, noise_images)
    assert search.space.skeleton.classes == 3
    assert search.take_step().cross_entropy.isfinite()


def test_a_batch_larger_than_the_training_part_is_refused(noise_images):
    config = SearchConfig(batch_size=64)
    with pytest.raises(
        ValueError, match="batch_size must be at most the 48 training images, got 64"
    ):
        Search(config, noise_images)


def test_an_op_of_the_users_own_module_is_searched_and_counted(tmp_path, monkeypatch):
    (tmp_path / "blur_ops.py").write_text(
        "from torch import nn\n"
        "from snas_tune.space.cell.ops import OPS, Op\n"
        "OPS['blur'] = Op(lambda c, stride, affine: nn.Sequential(\n"
        "    nn.ReLU(), nn.Conv2d(c, c, 3, stride, 1, groups=c, bias=False),\n"
        "    nn.BatchNorm2d(c, affine=affine)))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ops = ("none", "skip_connect", "blur")
    try:
        search = Search(SearchConfig(**TINY, ops=ops, ops_module="blur_ops", penalty_strength=1.0))
        search.take_step()
        side, channels = search.data.train.side, search.config.channels
        assert search.flops.per_cell[0, 0, 2] == 9 * channels * side * side
        assert search.derive().ops() <= set(ops)
    finally:
        OPS.pop("blur", None)
    with pytest.raises(ValueError, match=r"^ops_module must be importable, got 'no_such_ops' \("):
        Search(SearchConfig(**TINY, ops_module="no_such_ops"))
