"""``module:function``: the user's own data set, given by a function of an importable module."""

from __future__ import annotations

import importlib
import inspect
import math
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from snas_tune.data.class_names import names_of
from snas_tune.data.collect import with_found
from snas_tune.data.found import UNREADABLE
from snas_tune.data.gather import fit_arrays, gather
from snas_tune.data.hub import Hub, is_of_library
from snas_tune.data.images import (
    COLOURS,
    ImageSet,
    Labels,
    Pixels,
    channels_first,
    require_classes,
    to_bytes,
    to_image,
)
from snas_tune.data.request import NoTestImages, Request
from snas_tune.files import first_line
from snas_tune.imports import MOST_REASON

FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
"""The form of a spec of this kind."""


MOST_LABEL = 1 << 62
"""The largest label that is taken for the number of a class."""

FORMS = (
    "a data set of pairs (image, label), a tuple of two arrays (images, labels), or a tuple of two "
    "such sets (training, test)"
)
"""What a function may return."""


def picture(value: Any, name: str) -> Image.Image | Pixels:
    """An image of a data set: the Pillow image of 1 or 3 channels, else the pixels (C, H, W).

    Args:
        value: a Pillow image; or a NumPy array or torch tensor of shape (H, W), (H, W, C) or
            (C, H, W), with uint8 or floats from 0 to 1, and up to 64 channels.
        name: of the image, for errors.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(value, Image.Image):
        with _refused(f"{name} must be an image that can be read"):
            value.load()
        if not math.prod(value.size):
            raise ValueError(f"images must have pixels, got size {value.size} ({name})")
        return value
    try:
        array = _pixels(value)
        if array.ndim == 2:
            array = array[None]
        elif array.ndim != 3:
            raise ValueError(f"an image must have 2 or 3 dimensions, got shape {array.shape}")
        else:
            array = channels_first(array, prefer_first=_is_tensor(value))
        found = to_bytes(array)
        return to_image(found) if len(found) in COLOURS else found
    except ValueError as error:
        raise ValueError(f"{error} ({name})") from error


@dataclass(frozen=True, slots=True)
class ModuleFunction:
    """The source of one function.

    It is called with ``train=True`` or ``train=False`` if it has such an argument, else without
    one. It returns a map-style data set of ``(image, label)`` pairs, as torch's are, or a tuple of
    two arrays: images of shape (N, H, W), (N, H, W, C) or (N, C, H, W), and labels. It may also
    return two of these at once, ``(training, test)``, or a data set of Hugging Face's library.
    Without an argument ``train`` there are test images only if it returns both. Class names are
    the data set's ``classes`` if it has them (a list, or names with labels), else the numbers
    from 0 to the largest label, as text; a number without images stays a class, and the record of
    what was found names it.

    Each process calls the function once, and nothing is kept on disk: the files that the function
    reads are unknown, so a cache could be stale. Where reading takes long, class folders are the
    faster source, or a function that returns arrays it has stored itself.
    """

    spec: str

    def check(self, request: Request) -> None:
        """Import the module and look for the function; it is not called."""
        with _importable():
            self._arguments(self._function(), request)

    def files(self, request: Request) -> None:
        """Unknown: the function may read anything."""

    def read(self, request: Request) -> ImageSet:
        """Call the function and convert its result.

        Raises:
            ValueError: no such module or function, it fails, or something else than images is
                returned.
        """
        with _importable():
            function = self._function()
            arguments = self._arguments(function, request)
            with _refused(f"{self.spec} must give images"):
                returned = function(**arguments)
            if is_of_library(returned):
                alone = replace(request, train=True) if arguments else request
                return Hub(self.spec, returned).read(alone)
            if _is_two_sets(returned):
                returned = returned[0 if request.train else 1]
            elif not request.train and not arguments:
                raise NoTestImages(
                    f"{self.spec} must accept train=False, or return (training, test), to give "
                    "test images"
                )
            if isinstance(returned, tuple) and len(returned) == 2:
                return self._from_arrays(*returned, request)
            return self._from_dataset(returned, request)

    def _function(self) -> Callable[..., Any]:
        module, name = self.spec.split(":")
        with _refused(f"module {module} must be importable"):
            function = getattr(importlib.import_module(module), name, None)
        if not callable(function):
            raise ValueError(f"module {module} must have a function {name}, got {function!r}")
        return function  # type: ignore[no-any-return]

    def _arguments(self, function: Callable[..., Any], request: Request) -> dict[str, bool]:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # some builtins have none
            signature = inspect.Signature()
        arguments = {"train": request.train} if "train" in signature.parameters else {}
        try:
            signature.bind(**arguments)
        except TypeError as error:
            raise ValueError(
                f"{self.spec} must need no argument but train, got {first_line(error)}"
            ) from error
        return arguments

    def _from_arrays(self, images: Any, labels: Any, request: Request) -> ImageSet:
        if not _is_array(images):
            kinds = f"{type(images).__name__} and {type(labels).__name__}"
            raise ValueError(f"{self.spec} must return {FORMS}, got a tuple of {kinds}")
        try:
            array = _pixels(images)
            if array.ndim == 3:
                array = array[:, None]
            elif array.ndim != 4:
                raise ValueError(f"images must have 3 or 4 dimensions, got shape {array.shape}")
            else:
                array = channels_first(array, prefer_first=_is_tensor(images))
            pixels = np.ascontiguousarray(to_bytes(array))
            found = _labels(_array(labels))
        except ValueError as error:
            raise ValueError(f"{error} ({self.spec})") from error
        if len(found) != len(pixels):
            raise ValueError(
                f"images and labels must be equally many, got {len(pixels)} and {len(found)} "
                f"({self.spec})"
            )
        classes = _class_names(found, None, self.spec)
        return ImageSet(fit_arrays(pixels, request), found, classes)

    def _from_dataset(self, dataset: Any, request: Request) -> ImageSet:
        if isinstance(dataset, tuple | Mapping) or not _is_sequence(dataset):
            kind = type(dataset).__name__
            length = f" of {len(dataset)}" if isinstance(dataset, tuple) else ""
            raise ValueError(f"{self.spec} must return {FORMS}, got {kind}{length}")
        with _refused(f"{self.spec} must return a data set with a length"):
            count = len(dataset)
        labels: list[int] = []

        def items() -> Iterator[tuple[int, str, Any]]:
            for row in range(count):
                name = f"item {row} of {self.spec}"
                with _refused(f"{name} must be readable"):
                    item = dataset[row]
                image, label = _pair(item, name)
                labels.append(label)
                yield row, name, image

        gathered = gather(items(), count, picture, request)
        found = np.array(labels, np.int64)[gathered.rows]
        classes = _class_names(found, getattr(dataset, "classes", None), self.spec)
        images = ImageSet(gathered.images, found, classes)
        return with_found(images, request, {UNREADABLE: gathered.bad})


def _is_sequence(value: Any) -> bool:
    return hasattr(value, "__len__") and hasattr(value, "__getitem__")


def _is_array(value: Any) -> bool:
    """Whether it is an array, or lists of one shape that make one."""
    if hasattr(value, "shape"):
        return True
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:
        return False


def _is_two_sets(returned: Any) -> bool:
    """Whether it is a tuple of two sets, and not one of images and labels."""
    return isinstance(returned, tuple) and len(returned) == 2 and all(map(_is_set, returned))


def _is_set(value: Any) -> bool:
    """Whether it is a tuple of images and labels, or a data set whose first item is a pair."""
    if hasattr(value, "shape") or not _is_sequence(value) or isinstance(value, str | Mapping):
        return False
    if isinstance(value, tuple):
        return len(value) == 2 and hasattr(value[0], "shape") and hasattr(value[1], "__len__")
    try:
        first = value[0]
    except Exception:  # an empty one, or of the user's code, which reading tells
        return not isinstance(value, list)
    return isinstance(first, tuple | list) and len(first) == 2


@contextmanager
def _importable() -> Iterator[None]:
    """Let modules of the working directory be imported, as ``python -m`` does."""
    here = str(Path.cwd())
    importlib.invalidate_caches()  # the module may just have been written
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with suppress(ValueError):  # the module may have removed it
            sys.path.remove(here)


@contextmanager
def _refused(rule: str) -> Iterator[None]:
    """Turn whatever the user's code raises into one line: the rule, the error and its place.

    Raises:
        ValueError: in place of any of these.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also what ends the program
        kind, text = type(error).__name__, " ".join(str(error).split())[:MOST_REASON]
        reason = f"{kind}: {text}" if text else kind
        raise ValueError(f"{rule}, got {reason}{_place(error)}") from error


def _place(error: BaseException) -> str:
    """The innermost line of the user's that an error went through, where there is one."""
    ours = [str(Path(file).parent) for file in (__file__, str(importlib.__file__))]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((*ours, "<")):
            return f" ({Path(frame.filename).name}, line {frame.lineno})"
    return ""


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "detach")


def _array(value: Any) -> np.ndarray[Any, np.dtype[Any]]:
    """An array or tensor, wherever it is, as a NumPy array."""
    try:
        if _is_tensor(value):
            value = value.detach().cpu()
            floats = value.is_floating_point()  # bfloat16 is one that NumPy lacks
            value = (value.float() if floats else value).numpy()
        array = np.asarray(value)
        return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
    except Exception as error:  # a tensor of another kind, or lists that are no array
        raise ValueError(f"array must be one of numbers, got {first_line(error)}") from error


def _pixels(value: Any) -> np.ndarray[Any, np.dtype[Any]]:
    array = _array(value)
    if array.ndim > 1 and 0 in array.shape[-2:]:
        raise ValueError(f"images must have pixels, got shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"an image must be a picture or an array, got {type(value).__name__}")
    return array


def _pair(item: Any, name: str) -> tuple[Any, int]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise ValueError(f"{name} must be a pair of image and label, got {type(item).__name__}")
    label = _array(item[1])
    if label.size != 1 or label.dtype.kind not in "iu":
        shown = repr(item[1]) if label.ndim == 0 else f"{label.dtype} of shape {label.shape}"
        raise ValueError(f"label must be one integer, got {shown} ({name})")
    if label.item() > MOST_LABEL:
        raise ValueError(f"label must be at most {MOST_LABEL}, got {label.item()} ({name})")
    return item[0], int(label.item())


def _labels(values: np.ndarray[Any, np.dtype[Any]]) -> Labels:
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
        raise ValueError(
            f"labels must be integers, one for each image, "
            f"got {values.dtype} of shape {values.shape}"
        )
    if values.size and values.max() > MOST_LABEL:
        raise ValueError(f"labels must be at most {MOST_LABEL}, got {values.max()}")
    return values.astype(np.int64)


def _class_names(labels: Labels, given: Any, spec: str) -> tuple[str, ...]:
    last = int(labels.max()) if len(labels) else -1
    if given is None:  # a range is as good to check, and labels that are no classes make it long
        require_classes(range(last + 1), labels, spec)
        return tuple(str(name) for name in range(last + 1))
    with _refused(f"classes of {spec} must be names"):
        classes = names_of(given, len(labels))
    require_classes(classes, labels, spec)
    return classes
