"""What a saved search must be, and that looking at a search does not change it."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import torch
from cell_networks import gumbel_softmax
from conftest import TINY
from states import as_format_1, same

from snas_tune.architecture import read_architecture
from snas_tune.config import SearchConfig
from snas_tune.search.checkpoint import FILE, KEYS, LATER, load_search, read_state, save_search
from snas_tune.search.search import SAMPLES, Search
from snas_tune.training.batches import in_order
from snas_tune.training.diverged import Diverged
from snas_tune.training.runtime import CompiledOrEager
from snas_tune.training.seeds import generator_for


def trained(**changes) -> Search:
    search = Search(SearchConfig(**{**TINY, **changes}))
    search.take_step()
    return search


def weights_of(search: Search) -> dict[str, torch.Tensor]:
    return copy.deepcopy({**search.supernet.state_dict(), "logits": search.method.logits.detach()})


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_newer_checkpoint_is_refused(tiny):
    search = Search(tiny)
    with pytest.raises(ValueError, match=r"^checkpoint format must be 2, got 3$"):
        search.load_state_dict({**search.state_dict(), "format": 3})
    with pytest.raises(ValueError, match=r"^checkpoint format must be 2, got None$"):
        search.load_state_dict({"config": {}})


def test_a_newer_checkpoint_is_refused_by_its_format_and_not_by_its_settings(tmp_path, tiny):
    state = Search(tiny).state_dict()
    state["config"]["momentum_of_the_moon"] = 1
    torch.save({**state, "format": 3}, tmp_path / FILE)
    for ask in (read_state, load_search):
        with pytest.raises(ValueError, match=rf"^checkpoint .*{FILE} must have format 2, got 3$"):
            ask(tmp_path)


@pytest.mark.parametrize(
    ("version", "part"), [(version, part) for version, parts in KEYS.items() for part in parts[1:]]
)
def test_a_checkpoint_with_a_part_missing_is_refused_and_the_part_named(tmp_path, version, part):
    state = Search(SearchConfig(**TINY, supernet="plain")).state_dict()
    assert set(state) == {"format", *KEYS[2], *LATER}
    state = as_format_1(state) if version == 1 else state
    del state[part]
    torch.save(state, tmp_path / FILE)
    message = rf"^checkpoint .*{FILE} must hold a whole search, lacks {part}$"
    with pytest.raises(ValueError, match=message):
        load_search(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"weights:\n  none\n", b"hello\nworld\n", b"abc", b"q", b"h\x01", b"PK\3\4"]
)
def test_a_file_that_torch_did_not_write_is_refused_in_one_line(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^checkpoint .*{FILE} cannot be read: ") as caught:
        load_search(tmp_path)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's advice, to trust the file


@pytest.mark.parametrize("content", [[1, 2], {"step": 3}, {"config": 3}, torch.zeros(2)])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / FILE)
    kind = type(content).__name__
    with pytest.raises(ValueError, match=rf"^checkpoint .*{FILE} must hold a search, got {kind}$"):
        read_state(tmp_path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    torch.save({"config": re.compile("x")}, tmp_path / FILE)
    with pytest.raises(ValueError, match=rf"^checkpoint .*{FILE} cannot be read: "):
        read_state(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cells": 4}, "its cells is 3, this search has 4"),
        ({"channels": 6}, "its channels is 4, this search has 6"),
        ({"partial_channels": 2}, "its partial is 1, this search has 2"),
        ({"ops": ("none", "skip_connect")}, r"its ops is \['none', .*this search has \['none', 's"),
        ({"stem": "imagenet"}, "its stem is 'cifar', this search has 'imagenet'"),
        ({"epochs": 4}, "its epochs is 3, this search has 4"),
        ({"image_size": 12}, "its image_size is 8, this search has 12"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_its_first_difference(
    tmp_path, tiny, changes, message
):
    save_search(Search(tiny), tmp_path)
    with pytest.raises(ValueError, match=f"^checkpoint must be of the same search: {message}"):
        load_search(tmp_path, **changes)


def test_a_checkpoint_from_before_partial_channels_is_one_of_all_channels(tmp_path):
    search = trained()
    state = as_format_1(search.state_dict())
    del state["config"]["partial_channels"], state["frame"]["partial"]
    torch.save(state, tmp_path / FILE)
    restored = load_search(tmp_path)
    for each in (search, restored):
        each.take_step()
    assert equal(weights_of(search), weights_of(restored))
    message = "its partial is 1, this search has 4$"
    with pytest.raises(ValueError, match=message):
        load_search(tmp_path, partial_channels=4)


def test_a_checkpoint_of_other_images_is_refused(tmp_path, tiny, noise_images):
    save_search(Search(tiny), tmp_path)
    with pytest.raises(
        ValueError, match=r"^classes must be those of the search, 10 of them, got 3"
    ):
        load_search(tmp_path, noise_images)


def test_a_restored_search_keeps_what_a_caller_may_change(tmp_path, tiny):
    save_search(trained(), tmp_path)
    search = load_search(tmp_path, penalty_strength=0.25, data_root="elsewhere")
    assert search.step == 1
    assert (search.config.penalty_strength, search.config.data_root) == (0.25, "elsewhere")
    assert search.penalty.strength == 0.25


def test_evaluating_and_deriving_change_nothing_that_is_saved():
    searches = [trained(drop_path=0.2, flip=True), trained(drop_path=0.2, flip=True)]
    before, state = weights_of(searches[0]), torch.random.get_rng_state()
    first = searches[0].evaluate()
    assert searches[0].evaluate() == pytest.approx(first, nan_ok=True)
    assert equal(weights_of(searches[0]), before)
    assert torch.equal(torch.random.get_rng_state(), state)
    for search in searches:
        search.take_step()
    assert equal(*(weights_of(search) for search in searches))


def test_building_and_training_leave_the_global_random_state_alone():
    state = torch.random.get_rng_state()
    Search(SearchConfig(**TINY, drop_path=0.2, crop_padding=1, flip=True, cutout=2)).take_step()
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_supernets_accuracy_is_counted_over_the_validation_images():
    """A new sample for each batch, of the last step's temperature, from a stream of its own."""
    search = Search(SearchConfig(**TINY))
    size = -(-len(search.data.validation) // SAMPLES)
    for _ in range(3):
        search.take_step()
    given: list[torch.Tensor] = []
    search.supernet.register_forward_pre_hook(lambda module, inputs: given.append(inputs[1]))
    found = search.supernet_accuracy()
    generator, right = generator_for(0, "evaluate", 3), 0
    for sample, (pixels, labels) in zip(
        list(given), in_order(search.data.validation, size), strict=True
    ):
        logits, temperature = search.method.logits, search.method.temperature(2)
        assert torch.equal(sample, gumbel_softmax(logits, temperature, generator))
        predicted = search.supernet(search.data.normalise(pixels), sample).argmax(1)
        right += int((predicted == labels).sum())
    assert found == pytest.approx(right / len(search.data.validation))
    assert not search.supernet.training


def test_a_learning_rate_out_of_all_bounds_is_a_divergence_that_names_its_step():
    search = Search(SearchConfig(**TINY, weights_learning_rate=1e30))
    with pytest.raises(Diverged, match=r"^loss must be .*, got (nan|inf) \(.* at step \d \("):
        search.run_epoch()


def test_a_compiled_search_takes_the_steps_of_the_eager_one():
    eager, compiled = (Search(SearchConfig(**{**TINY, "nodes": 1})) for _ in range(2))
    compiled.method.forward = CompiledOrEager(compiled.supernet, backend="eager")
    for _ in range(2):
        eager.take_step()
        compiled.take_step()
    assert equal(weights_of(eager), weights_of(compiled))


def test_gradients_are_clipped_to_the_norms_of_the_config():
    search = trained(weights_clip=1e-3, logits_clip=1e-4)
    norm = torch.cat([p.grad.flatten() for p in search.supernet.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-2)
    assert search.method.logits.grad.norm().item() <= 1e-4 * 1.01


@pytest.mark.parametrize("sampling", ["concrete", "gdas"])
@pytest.mark.parametrize("name", ["plain", "fused"])
def test_a_checkpoint_of_format_1_goes_on_bit_for_bit(tmp_path, name, sampling):
    settings = {"supernet": name, "sampling": sampling, "nodes": 2, "drop_path": 0.2}
    whole = Search(SearchConfig(**{**TINY, **settings}))
    for _ in range(3):
        whole.take_step()
    old = as_format_1(whole.state_dict())
    torch.save(old, tmp_path / FILE)
    restored = load_search(tmp_path)
    assert old["supernet"]["logits"].shape == (2, 5, 8)
    assert restored.config == whole.config
    assert (restored.step, restored.implementation) == (3, whole.implementation)
    assert same(whole, restored)
    assert as_format_1(restored.state_dict()).keys() == old.keys()
    for search in (whole, restored):
        for _ in range(3):
            search.take_step()
    assert same(whole, restored)


def test_a_checkpoint_that_commit_cd67db4_wrote_goes_on_as_it_did():
    """The numbers are those that cd67db4 reported for the epoch after the checkpoint."""
    folder = Path(__file__).parent / "data" / "checkpoint_cd67db4"
    expected = json.loads((folder / "report.json").read_text())
    search = load_search(folder)
    assert search.epoch == 1
    found = search.run_epoch()
    found["dearest_flops"] = found.pop("largest_flops")
    ours, theirs = (
        read_architecture(report.pop(key))
        for report, key in ((found, "architecture"), (expected, "genotype"))
    )
    # cd67db4 kept the edges of a cell that another, empty cell cuts off.
    assert ours == search.space.live(theirs)
    assert (found.pop("edges"), expected.pop("edges")) == (0, 1)
    for report in (found, expected):
        assert report.pop("seconds") > report.pop("seconds_training")
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
