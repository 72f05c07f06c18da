"""Data sets that a user's own function gives."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from snas_tune.data import NoTestImages, check, load, load_test
from snas_tune.data.module import picture

Write = Callable[..., str]
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
FIRST = np.ascontiguousarray(COLOUR.transpose(2, 0, 1))
counter = iter(range(10**6))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module into the working directory; gives a spec of its function ``data``."""
    monkeypatch.chdir(tmp_path)

    def module(body: str, arguments: str = "", before: str = "") -> str:
        name = f"own_data_{next(counter)}"
        lines = "\n    ".join(body.splitlines())
        Path(f"{name}.py").write_text(
            f"import numpy as np\n{before}\ndef data({arguments}):\n    {lines}\n"
        )
        return f"{name}:data"

    return module


def pixels(value: object) -> np.ndarray:
    return np.array(picture(value, "x"))


@pytest.mark.parametrize(
    "value",
    [
        Image.fromarray(COLOUR),
        COLOUR,
        FIRST,
        COLOUR.astype(np.float32) / 255,
        FIRST.astype(np.float64) / 255,
        torch.from_numpy(FIRST),
        torch.from_numpy(FIRST).float() / 255,
        (torch.from_numpy(FIRST).float() / 255).requires_grad_(),
    ],
)
def test_each_form_of_an_image_gives_the_same_picture(value: object) -> None:
    assert np.array_equal(pixels(value), COLOUR)


def test_where_either_end_could_be_channels_tensors_have_them_first() -> None:
    value = np.zeros((3, 5, 3), np.uint8)
    assert pixels(value).shape == (3, 5, 3)
    assert pixels(torch.from_numpy(value)).shape == (5, 3, 3)


def test_a_label_may_be_an_array_of_one_number(write: Write) -> None:
    body = "return [(np.zeros((3, 3), np.uint8), np.array([i])) for i in range(2)]"
    assert load(write(body), root=".").labels.tolist() == [0, 1]


def test_grey_images_may_have_a_channel_or_none() -> None:
    grey = COLOUR[:, :, 0].copy()
    for value in (grey, grey[None], grey[:, :, None], torch.from_numpy(grey)[None]):
        assert np.array_equal(pixels(value), grey)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a.png", r"^an image must be a picture or an array, got str \(x\)$"),
        (None, r"^an image must be a picture or an array, got NoneType \(x\)$"),
        (np.zeros(3, np.uint8), r"^an image must have 2 or 3 dimensions, got shape \(3,\) \(x\)$"),
        (np.zeros((99, 80, 70), np.uint8), r"^an image must have 1 to 64 channels, got .* \(x\)$"),
        (np.full((5, 5), 2.0), r"^pixels must be .* \(not normalised\), got floats .* \(x\)$"),
        (np.zeros((5, 5), np.int32), r"^pixels must be uint8 .*, got int32 \(x\)$"),
    ],
)
def test_what_is_not_an_image_is_refused(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        picture(value, "x")


def test_a_map_style_data_set_is_read(write: Write) -> None:
    body = "return [(np.full((4, 4), 10 * i, np.uint8), i % 3) for i in range(6)]"
    spec = write(body)
    check(spec, root=".")
    data = load(spec, root=".")
    assert data.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert data.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert data.classes == ("0", "1", "2")
    assert load(spec, root=".", image_size=8, channels=3).images.shape == (6, 3, 8, 8)
    assert str(Path.cwd()) not in sys.path


def test_a_data_set_of_torch_with_class_names_is_read(write: Write) -> None:
    before = (
        "import torch\n"
        "class Own(torch.utils.data.Dataset):\n"
        "    classes = ['cat', 'dog']\n"
        "    def __len__(self): return 4\n"
        "    def __getitem__(self, i): return torch.full((3, 2, 2), i / 255), torch.tensor(i % 2)\n"
    )
    data = load(write("return Own()", before=before), root=".")
    assert data.classes == ("cat", "dog")
    assert data.images[:, 2, 1, 1].tolist() == [0, 1, 2, 3]
    assert data.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("shape", ["4, 5, 6", "4, 1, 5, 6", "4, 5, 6, 1"])
def test_a_tuple_of_arrays_is_read(write: Write, shape: str) -> None:
    body = f"return np.arange(120, dtype=np.uint8).reshape({shape}), np.array([0, 1, 1, 0])"
    data = load(write(body), root=".")
    assert data.images.shape == (4, 1, 5, 6)
    assert data.images.ravel().tolist() == list(range(120))
    assert data.labels.tolist() == [0, 1, 1, 0]


def test_a_function_with_train_gives_test_images_too(write: Write) -> None:
    body = "return np.full((2, 3, 3), 7 if train else 9, np.uint8), [0, 1]"
    spec = write(body, "train")
    one = {ask: ask(spec, root=".").images[0, 0, 0, 0] for ask in (load, load_test)}
    assert one == {load: 7, load_test: 9}


def test_a_function_without_train_has_no_test_images(write: Write) -> None:
    spec = write("return np.zeros((2, 3, 3), np.uint8), [0, 1]")
    message = (
        rf"^{spec} must accept train=False, or return \(training, test\), to give test images$"
    )
    with pytest.raises(NoTestImages, match=message):
        load_test(spec, root=".")


def test_what_the_function_reads_may_change_although_there_is_a_cache(
    write: Write, tmp_path: Path
) -> None:
    spec = write("return np.load('images.npy'), [0, 1]")
    for value in (7, 9):
        np.save("images.npy", np.full((2, 3, 3), value, np.uint8))
        images = load(spec, root=".", cache_dir=tmp_path / "cache").images
        assert np.unique(images).tolist() == [value]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", r"must return a data set of pairs .* \(training, test\), got int$"),
        ("return [3, 4]", r"^item 0 of .* must be a pair of image and label, got int$"),
        ("return [(None, 0)]", r"^an image must be a picture .* \(item 0 of own_data_\d+:data\)$"),
        ("return []", r"^data must have at least two classes, got no images in own_data"),
        (
            "return np.zeros((2, 3, 3), np.uint8), [0, 0]",
            r"^data must have at least two classes, got 1 \(\['0'\]\) in own_data_\d+:data$",
        ),
        (
            "return np.zeros((2, 3, 3), np.uint8), [0, 1, 1]",
            r"^images and labels must be equally many, got 2 and 3 \(own_data_\d+:data\)$",
        ),
        ("return np.zeros((2, 3, 3), np.uint8), [0, .5]", r"^labels must be integers, one for"),
        ("return np.zeros((2, 3), np.uint8), [0, 1]", r"^images must have 3 or 4 dimensions, got"),
        ("return np.zeros((2, 3, 3), np.uint8), ['a', 'b']", r"^labels must be integers, one for"),
        (
            "return [(np.zeros((3, 3), np.uint8), 'cat')]",
            r"^label must be one integer, got 'cat' \(item 0 of own_data_\d+:data\)$",
        ),
        (
            "return [(np.zeros((3, 3), np.uint8), label) for label in (0, np.eye(5)[1])]",
            r"^label must be one integer, got float64 of shape \(5,\) \(item 1 of own_data",
        ),
        (
            "return [(np.zeros((3, 3), np.uint8), True)]",
            r"^label must be one integer, got True \(item 0 of own_data_\d+:data\)$",
        ),
        (
            "return np.zeros((2, 3, 3), np.uint8), np.eye(2)",
            r"^labels must be integers, one for .* shape \(2, 2\) \(own_data_\d+:data\)$",
        ),
        (
            "return np.zeros((2, 3, 3), np.uint8), [[0], [0, 1]]",
            r"^array must be one of numbers, got .* \(own_data_\d+:data\)$",
        ),
        ("return np.zeros((2, 0, 3), np.uint8), [0, 1]", r"^images must have pixels, got shape"),
        (
            "return np.zeros((2, 3, 3), np.uint8), [0, 10**12]",
            r"^data must have at least as many images as classes, got 1000000000001 classes and 2",
        ),
        (
            "return [(np.zeros((3, 3 + i), np.uint8), i) for i in range(2)]",
            r"^images must have one size, .*3x3 \(item 0 of .*\) and 4x3 \(item 1 of ",
        ),
        (
            "return np.zeros((2, 3, 3), np.uint8), [0, 7]",
            r"^data must have at least as many images as classes, got 8 classes and 2 images in",
        ),
    ],
)
def test_what_is_not_a_data_set_is_refused(write: Write, body: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        load(write(body), root=".")
    assert "\n" not in str(caught.value)


def test_a_missing_module_or_function_is_named(write: Write) -> None:
    module = write("return 0").split(":")[0]
    broken = write("return 0", before="import no_such_module").split(":")[0]
    for ask in (load, load_test, check):
        message = "must be importable, got ModuleNotFoundError: No module named"
        with pytest.raises(ValueError, match=rf"^module no_such {message} 'no_such'$"):
            ask("no_such:data", root=".")
        message = rf"^module {broken} {message} 'no_such_module' \({broken}.py, line 2\)$"
        with pytest.raises(ValueError, match=message):
            ask(f"{broken}:data", root=".")
        with pytest.raises(ValueError, match=rf"^module {module} must have a function x, got None"):
            ask(f"{module}:x", root=".")


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("x = = 1", r"SyntaxError: invalid syntax \(own_data_\d+.py, line 2\)"),
        ("raise RuntimeError('one\\ntwo')", r"RuntimeError: one two \(own_data_\d+.py, line 2\)"),
        ("raise SystemExit", r"SystemExit \(own_data_\d+.py, line 2\)"),
    ],
)
def test_a_module_that_fails_is_told_in_one_line(write: Write, before: str, reason: str) -> None:
    spec = write("return 0", before=before)
    module = spec.split(":")[0]
    for ask in (load, check):
        with pytest.raises(
            ValueError, match=rf"^module {module} must be importable, got {reason}$"
        ):
            ask(spec, root=".")


def test_an_error_of_the_function_is_told_in_one_line_and_kept_as_the_cause(write: Write) -> None:
    spec = write("return 1 / 0")
    message = (
        rf"^{spec} must give images, got ZeroDivisionError: division by zero \(own_.*line 4\)$"
    )
    with pytest.raises(ValueError, match=message) as caught:
        load(spec, root=".")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_function_that_needs_more_than_train_is_refused_before_it_is_called(write: Write) -> None:
    spec = write("return 0", "folder, train=True")
    message = (
        rf"^{spec} must need no argument but train, got missing a required argument: 'folder'$"
    )
    for ask in (load, load_test, check):
        with pytest.raises(ValueError, match=message):
            ask(spec, root=".")


FAILING = """
class Own:
    classes = CLASSES
    def __len__(self): return LENGTH
    def __getitem__(self, i):
        if i == 3: raise OSError('gone')
        return np.zeros((2, 2), np.uint8), i % 2
"""


@pytest.mark.parametrize(
    ("classes", "length", "message"),
    [
        ("None", "4", r"item 3 of {spec} must be readable, got OSError: gone \(own_.*, line 7\)"),
        ("None", "-1", r"{spec} must return a data set with a length, got ValueError: .*"),
        ("2", "3", r"classes of {spec} must be names, got TypeError: 'int' object is not iter.*"),
    ],
)
def test_a_data_set_that_fails_is_told_with_its_row(
    write: Write, classes: str, length: str, message: str
) -> None:
    before = FAILING.replace("CLASSES", classes).replace("LENGTH", length)
    spec = write("return Own()", before=before)
    with pytest.raises(ValueError, match=f"^{message.format(spec=spec)}$"):
        load(spec, root=".")


def test_a_picture_that_cannot_be_decoded_is_told_with_its_row(write: Write) -> None:
    stream = io.BytesIO()
    Image.fromarray(COLOUR).save(stream, "BMP")
    Path("cut.bmp").write_bytes(stream.getvalue()[:-50])
    spec = write(
        "return [(Image.open(io.BytesIO(Path('cut.bmp').read_bytes())), 0)]",
        before="import io\nfrom pathlib import Path\nfrom PIL import Image",
    )
    message = rf"^item 0 of {spec} must be an image that can be read, got OSError: .*truncated"
    with pytest.raises(ValueError, match=message):
        load(spec, root=".")
