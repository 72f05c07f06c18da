"""What ``snas-tune take`` says of the images that a child is measured on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from snas_tune.data import ImageSet
    from snas_tune.search.search import Search
    from snas_tune.training.batches import Images


def search_lines(search: Search, images: ImageSet, recorded: Mapping[str, Any] | None) -> list[str]:
    """What was read, and how it differs from the images of the search.

    Raises:
        ValueError: the classes are not those of the search.
    """
    from snas_tune.search.images import changed_line, check_same_images, image_lines

    check_same_images(recorded, search.images, same=False)
    lines = image_lines(search.config, images)
    if changed := changed_line(recorded, search.images):
        lines.append(f"the images are not those of the search: {changed}")
    return lines


def test_images(search: Search) -> Images | None:
    """The test images that belong to the search's; ``None``, said in a line, if there are none."""
    from snas_tune.data import NoTestImages, load_test
    from snas_tune.search.images import form_of
    from snas_tune.training.batches import Images

    config, train = search.config, search.data.train
    form = form_of(config)
    form["image_size"], form["channels"] = train.side, train.channels
    if search.images["bits"] > 8:
        form["bits"] = search.images["bits"]
    try:
        test = load_test(
            config.images_at, root=config.data_root, cache_dir=config.data_cache, **form
        )
    except NoTestImages as error:
        print(f"the test accuracy is not measured: {error}")
        return None
    return Images.of(test, search.runtime.device)


def measured(search: Search, child: nn.Module, test: Images | None) -> str:
    """The child's accuracies in words."""
    from snas_tune.training.evaluate import accuracies

    text = f"validation {_words(search.child_accuracies(child))}"
    if test is None:
        return text
    size, data = search.config.evaluation_batch_size, search.data
    found = accuracies(child, test, data.normalise, search.runtime, size)
    return f"test {_words(found)}, {text}"


def _words(found: Mapping[str, float]) -> str:
    balanced = f"balanced {100 * found['balanced_accuracy']:.1f} %"
    return f"{100 * found['accuracy']:.1f} % ({balanced})"
