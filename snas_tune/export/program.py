"""A network as a program of ``torch.export``, which runs without this package's code."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Annotated

import torch
from torch import nn

from snas_tune.architecture import MOST_TEXT
from snas_tune.arguments import checked
from snas_tune.checks import A_TEXT, COUNT, Check, at_most, encoded, is_instance
from snas_tune.export.pixels import DTYPES, PixelNetwork
from snas_tune.files import write_whole
from snas_tune.setting_checks import MOST_SIDE
from snas_tune.text_checks import PATH
from snas_tune.training.batches import Normalisation
from snas_tune.values import shown

CLASSES, ARCHITECTURE = "classes.json", "architecture.json"
"""Files that are saved inside the program's: the class names in the order of the logits, and the
architecture; ``torch.export.load(path, extra_files={"classes.json": ""})`` reads them."""

SUFFIX = ".pt2"

AN_ARCHITECTURE = Check(
    lambda value: len(encoded(value)) <= MOST_TEXT, f"of at most {MOST_TEXT} bytes"
)
CLASS_NAMES = Check(
    lambda value: (
        isinstance(value, (list, tuple))
        and bool(value)
        and all(isinstance(each, str) for each in value)
    ),
    "a list of texts, one or more",
)

TOLERANCE = 1e-4
"""How far logits may be from the network's, in parts of the largest."""


@checked
def check_export(path: Annotated[str | Path, PATH], dtype: torch.dtype = torch.uint8) -> None:
    """Refuse a file or pixels that :func:`export_network` could not write.

    Raises:
        ValueError: another suffix than ``.pt2``, a directory, or pixels of another type.
    """
    if Path(path).suffix != SUFFIX:
        raise ValueError(f"exported program must end in {SUFFIX}, got {path}")
    if Path(path).is_dir():
        raise ValueError(f"exported program must be a file, got the directory {path}")
    if not any(dtype is known for known in DTYPES):
        raise ValueError(f"dtype of pixels must be uint8 or float32, got {shown(dtype)}")


@checked
def export_network(
    network: Annotated[nn.Module, is_instance(nn.Module)],
    path: Annotated[str | Path, PATH],
    *,
    normalise: Annotated[Normalisation, is_instance(Normalisation)],
    side: Annotated[int, COUNT, at_most(MOST_SIDE)],
    classes: Annotated[Sequence[str], CLASS_NAMES],
    architecture: Annotated[str, A_TEXT, AN_ARCHITECTURE],
    dtype: torch.dtype = torch.uint8,
) -> None:
    """Write a network as a program for any batch size; it is read back and compared first.

    Args:
        network: gives class logits ``(B, classes)`` of normalised images ``(B, channels, side,
            side)``; in evaluation mode or not. It stays as it is.
        path: of the file, which is replaced at once. Missing directories are created.
        normalise: of the images that the network was trained on; becomes part of the program.
        side: of the images, in pixels.
        classes: their names, in the order of the logits.
        architecture: the JSON of the network's architecture.
        dtype: of the pixels that the program takes, uint8 or float32, in [0, 255] both.

    Raises:
        ValueError: as :func:`check_export`.
        RuntimeError: the written program does not give the network's logits.
    """
    check_export(path, dtype)
    whole = PixelNetwork(network, normalise)
    shapes = {"pixels": {0: torch.export.Dim("batch", min=1)}}
    example = whole.example(2, side, dtype)
    program = torch.export.export(whole, (example,), dynamic_shapes=shapes)
    extra = {CLASSES: json.dumps(list(classes)), ARCHITECTURE: architecture}
    content = io.BytesIO()
    # torch's own writer ends the process on a full disk.
    torch.export.save(program, content, extra_files=extra)
    content.seek(0)
    compare(content, whole, side, dtype)
    write_whole(Path(path), content.getvalue())


def compare(path: Path | IO[bytes], network: PixelNetwork, side: int, dtype: torch.dtype) -> None:
    """Read a program back and compare its logits of noise with the network's.

    Raises:
        RuntimeError: they differ by more than :data:`TOLERANCE`.
    """
    read = torch.export.load(path).module()
    for batch in (1, 3):
        pixels = network.example(batch, side, dtype)
        with torch.no_grad():
            found, wanted = read(pixels), network(pixels)
        most = TOLERANCE * wanted.abs().max().clamp_min(1.0)
        if not (found - wanted).abs().max() <= most:
            raise RuntimeError(
                f"exported program must give the network's logits within {most:.2g}, "
                f"got a difference of {(found - wanted).abs().max():.2g}"
            )
