"""The exported program against the network that it was made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import TINY
from torch import nn

from snas_tune.config import SearchConfig
from snas_tune.export.pixels import PixelNetwork
from snas_tune.export.program import check_export, compare, export_network
from snas_tune.search.search import Search
from snas_tune.space.cell.child import ChildNetwork
from snas_tune.space.cell.genotype import Cell, Genotype
from snas_tune.training.batches import Normalisation

EMPTY = Genotype(Cell(1, (), (2,)), Cell(1, (), (2,)))


def export(
    search: Search, child: ChildNetwork, path: Path, dtype: torch.dtype = torch.uint8
) -> None:
    train = search.data.train
    export_network(
        child,
        path,
        normalise=search.data.normalise,
        side=train.side,
        classes=train.classes,
        architecture=child.genotype.to_json(),
        dtype=dtype,
    )


@pytest.fixture(scope="module")
def search() -> Search:
    search = Search(SearchConfig(**TINY))
    search.take_step()
    return search


@pytest.mark.parametrize(
    ("genotype", "dtype"), [(None, torch.uint8), (None, torch.float32), (EMPTY, torch.uint8)]
)
def test_a_program_gives_the_childs_logits_of_raw_pixels_in_any_number(
    search, tmp_path, genotype, dtype
):
    child, path = search.child(genotype), tmp_path / "new" / "cell.pt2"
    export(search, child, path, dtype)
    assert list(path.parent.iterdir()) == [path]
    program = torch.export.load(path).module()
    for batch in (1, 2, 3, 24):
        pixels = search.data.validation.pixels[:batch]
        with torch.no_grad():
            expected = child(search.data.normalise(pixels))
            torch.testing.assert_close(program(pixels.to(dtype)), expected, rtol=1e-4, atol=1e-4)


def test_the_imagenet_stem_and_colour_are_exported_as_well(noise_images, tmp_path):
    settings = {**TINY, "stem": "imagenet", "limit_images": None}
    search = Search(SearchConfig(**settings), noise_images)
    child = search.child()
    export(search, child, tmp_path / "cell.pt2")
    program = torch.export.load(tmp_path / "cell.pt2").module()
    pixels = search.data.validation.pixels[:5]
    with torch.no_grad():
        expected = child(search.data.normalise(pixels))
    torch.testing.assert_close(program(pixels), expected, rtol=1e-4, atol=1e-4)


def test_any_network_is_exported_without_a_search(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 2))
    values = torch.tensor([100.0, 120.0, 140.0]).view(3, 1, 1)
    path = tmp_path / "own.pt2"
    export_network(
        network,
        path,
        normalise=Normalisation(values, values / 2),
        side=6,
        classes=["a", "b"],
        architecture="{}",
    )
    pixels = torch.randint(256, (4, 3, 6, 6), dtype=torch.uint8)
    with torch.no_grad():
        expected = network.eval()((pixels - values) / (values / 2))
        torch.testing.assert_close(torch.export.load(path).module()(pixels), expected)


def test_class_names_and_cells_are_inside_the_file(search, tmp_path):
    child = search.child()
    before = {name: value.clone() for name, value in child.state_dict().items()}
    export(search, child.train(), tmp_path / "cell.pt2")
    inside = {"classes.json": "", "architecture.json": ""}
    torch.export.load(tmp_path / "cell.pt2", extra_files=inside)
    assert json.loads(inside["classes.json"]) == [str(digit) for digit in range(10)]
    assert Genotype.from_json(inside["architecture.json"]) == child.genotype
    assert child.training  # the caller's child stays as it was
    assert all(torch.equal(value, before[name]) for name, value in child.state_dict().items())


def test_a_file_that_computes_something_else_is_not_taken(search, tmp_path):
    child, path, side = search.child(), tmp_path / "cell.pt2", search.data.train.side
    export(search, child, path)
    compare(path, PixelNetwork(child, search.data.normalise), side, torch.uint8)
    with torch.no_grad():
        child.classifier.bias[3] += 0.01
    other = PixelNetwork(child, search.data.normalise)
    message = r"^exported program must give the network's logits within .*, got .* of 0.01$"
    with pytest.raises(RuntimeError, match=message):
        compare(path, other, side, torch.uint8)


def test_what_cannot_be_written_is_refused(search, tmp_path):
    with pytest.raises(ValueError, match=r"^exported program must end in .pt2, got .*cell.onnx$"):
        check_export(tmp_path / "cell.onnx")
    (tmp_path / "folder.pt2").mkdir()
    with pytest.raises(ValueError, match=r"^exported program must be a file, got the directory .*"):
        export(search, search.child(), tmp_path / "folder.pt2")
    with pytest.raises(
        ValueError, match=r"^dtype of pixels must be uint8 or float32, got torch.float16$"
    ):
        check_export(tmp_path / "cell.pt2", torch.float16)
