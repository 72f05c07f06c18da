"""A child as a program of ``torch.export``: raw pixels in, class logits out, no code of ours."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from snas_tune.space.cell.child import ChildNetwork
from snas_tune.training.batches import SearchData

CLASSES, GENOTYPE = "classes.json", "genotype.json"
"""Files that are saved inside the program's: the class names in the order of the logits, and the
cells; ``torch.export.load(path, extra_files={"classes.json": ""})`` reads them."""

SUFFIX = ".pt2"

TOLERANCE = 1e-4
"""How far logits may be from the child's, in parts of the largest."""


class PixelNetwork(nn.Module):
    """A child behind its normalisation, on the CPU.

    Args:
        child: is copied.
        data: of its search, for mean and deviation.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, child: ChildNetwork, data: SearchData) -> None:
        super().__init__()
        self.child = copy.deepcopy(child).cpu()
        self.child.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self.register_buffer("mean", data.mean.cpu().clone())
        self.register_buffer("deviation", data.deviation.cpu().clone())
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits ``(B, classes)`` of pixels ``(B, channels, side, side)`` in [0, 255]."""
        logits: Tensor = self.child((pixels.float() - self.mean) / self.deviation)
        return logits


def check_export(path: str | Path, dtype: torch.dtype = torch.uint8) -> None:
    """Refuse what :func:`export_child` could not write.

    Raises:
        ValueError: another suffix than ``.pt2``, a directory, or pixels of another type.
    """
    if Path(path).suffix != SUFFIX:
        raise ValueError(f"exported program must end in {SUFFIX}, got {path}")
    if Path(path).is_dir():
        raise ValueError(f"exported program must be a file, got the directory {path}")
    if dtype not in (torch.uint8, torch.float32):
        raise ValueError(f"pixels must be uint8 or float32, got {dtype}")


def export_child(
    child: ChildNetwork, data: SearchData, path: str | Path, dtype: torch.dtype = torch.uint8
) -> None:
    """Write a child as a program for any batch size; it is read back and compared first.

    Args:
        child: in evaluation mode or not.
        data: of its search: normalisation and class names.
        path: of the file, which is replaced in one move. Missing directories are created.
        dtype: of the pixels that the program takes, uint8 or float32, in [0, 255] both.

    Raises:
        ValueError: as :func:`check_export`.
        RuntimeError: what was written does not give the child's logits.
    """
    check_export(path, dtype)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    network = PixelNetwork(child, data)
    example = _pixels(2, child, dtype)
    shapes = {"pixels": {0: torch.export.Dim("batch", min=1)}}
    program = torch.export.export(network, (example,), dynamic_shapes=shapes)
    extra = {CLASSES: json.dumps(data.train.classes), GENOTYPE: child.genotype.to_json()}
    partial = path.with_name(f".{path.stem}.{os.getpid()}{SUFFIX}")
    try:
        torch.export.save(program, partial, extra_files=extra)
        _compare(partial, network, dtype)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _compare(path: Path, network: PixelNetwork, dtype: torch.dtype) -> None:
    """Read a program back and raise ``RuntimeError`` unless it computes what the network does."""
    read = torch.export.load(path).module()
    for batch in (1, 3):
        pixels = _pixels(batch, network.child, dtype)
        with torch.no_grad():
            found, wanted = read(pixels), network(pixels)
        most = TOLERANCE * wanted.abs().max().clamp_min(1.0)
        if not (found - wanted).abs().max() <= most:
            raise RuntimeError(
                f"exported program must give the child's logits within {most:.2g}, "
                f"got a difference of {(found - wanted).abs().max():.2g}"
            )


def _pixels(batch: int, child: ChildNetwork, dtype: torch.dtype) -> Tensor:
    """Noise of the child's shape; the same each time."""
    skeleton = child.skeleton
    shape = (batch, skeleton.image_channels, skeleton.image_size, skeleton.image_size)
    generator = torch.Generator().manual_seed(batch)
    return torch.randint(256, shape, generator=generator, dtype=torch.uint8).to(dtype)
