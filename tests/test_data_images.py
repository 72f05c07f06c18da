"""The image set, the form of one image, and the digits that come with the package."""

from __future__ import annotations

import io
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from snas_tune.data import (
    SOURCES,
    ImageSet,
    Request,
    StderrProgress,
    check,
    load,
    load_test,
    silent,
)
from snas_tune.data.digits import held_out
from snas_tune.data.images import channels_first, fit, open_image, to_bytes, to_image

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def image_set(count: int = 4, classes: tuple[str, ...] = ("a", "b"), **changes: object) -> ImageSet:
    values: dict = {
        "images": np.zeros((count, 1, 2, 2), np.uint8),
        "labels": np.arange(count) % 2,
        "classes": classes,
    }
    return ImageSet(**(values | changes))


def test_an_image_set_has_the_length_of_its_labels() -> None:
    assert len(image_set(5)) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((4, 1, 2, 2))}, r"^images must be uint8 .*, got float64 of shape"),
        ({"images": np.zeros((4, 2, 2), np.uint8)}, r"^images must be .*shape \(4, 2, 2\)$"),
        ({"labels": np.zeros(4)}, r"^labels must be int64 of shape \(4,\), got float64"),
        ({"labels": np.zeros(3, np.int64)}, r"^labels must be int64 .* of shape \(3,\)$"),
        ({"labels": np.array([0, 1, 2, 0])}, r"^labels must be from 0 to 1, got 0 to 2$"),
        ({"labels": np.array([0, 1, -1, 0])}, r"^labels must be from 0 to 1, got -1 to 1$"),
        (
            {"labels": np.zeros(4, np.int64), "classes": ("cat",)},
            r"^data must have at least two classes, got 1 \(\['cat'\]\)$",
        ),
        (
            {"labels": np.zeros(4, np.int64)},
            r"^data must have at least two classes, got 1 \(\['a'\]\)$",
        ),
        (
            {"classes": ("a", "b", "c", "d", "e")},
            r"^data must have at least as many images as classes, got 5 classes and 4 images$",
        ),
        (
            {"images": np.zeros((0, 1, 2, 2), np.uint8), "labels": np.zeros(0, np.int64)},
            r"^data must have at least two classes, got no images$",
        ),
    ],
)
def test_an_image_set_refuses(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image_set(**changes)


def test_fit_keeps_pixels_where_nothing_is_asked() -> None:
    assert np.array_equal(fit(Image.fromarray(GREY), None, None), GREY[None])
    assert np.array_equal(fit(Image.fromarray(COLOUR), None, None), COLOUR.transpose(2, 0, 1))


def test_fit_gives_the_channels_asked_for() -> None:
    three = fit(Image.fromarray(GREY), None, 3)
    assert np.array_equal(three, np.stack([GREY] * 3))
    one = fit(Image.fromarray(COLOUR), None, 1)
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    assert np.abs(one[0] - luma).max() <= 1


def test_fit_crops_the_centre_before_it_resizes() -> None:
    wide = np.zeros((4, 12), np.uint8)
    wide[:, 4:8] = 200
    assert np.all(fit(Image.fromarray(wide), 2, None) == 200)
    assert np.all(fit(Image.fromarray(wide.T.copy()), 2, None) == 200)


def test_fit_antialiases() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))
    assert np.abs(fit(Image.fromarray(stripes), 8, None)[0].astype(int) - 127).max() <= 8


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the top of the scene is the right side of the stored image
    Image.fromarray(GREY).save(tmp_path / "x.png", exif=exif)
    upright = fit(open_image(tmp_path / "x.png", "x", None), None, None)
    assert np.array_equal(upright[0], np.rot90(GREY, -1))


def test_a_large_jpeg_that_is_decoded_small_looks_the_same(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(512), np.arange(512)).astype(float) / 4.1
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "x.jpg", quality=95)
    assert open_image(tmp_path / "x.jpg", "x", 100).size == (256, 256)
    small = open_image(tmp_path / "x.jpg", "x", 16)
    assert small.size == (64, 64)
    whole = fit(open_image(tmp_path / "x.jpg", "x", None), 16, None)
    assert np.abs(fit(small, 16, None).astype(int) - whole).max() <= 2


@given(st.sampled_from([(1, 5, 4), (3, 5, 4)]), st.integers(0, 99))
@settings(deadline=None)
def test_to_image_is_undone_by_fit(shape: tuple[int, int, int], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    assert np.array_equal(fit(to_image(pixels), None, None), pixels)


def test_floats_from_0_to_1_become_bytes() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(to_bytes(values / np.float32(255)), values)
    assert to_bytes(np.array([0.0, 0.499, 0.999])).tolist() == [0, 127, 255]
    assert to_bytes(values) is values
    for wrong in (np.array([1.5]), np.array([-0.1]), np.array([np.nan])):
        with pytest.raises(ValueError, match=r"^pixels must be uint8 .* \(not normalised\)"):
            to_bytes(wrong)
    with pytest.raises(ValueError, match=r"^pixels must be uint8 .*, got int64$"):
        to_bytes(np.array([1]))


def test_channels_are_found_at_either_end() -> None:
    assert channels_first(np.zeros((3, 5, 4)), prefer_first=False).shape == (3, 5, 4)
    assert channels_first(np.zeros((5, 4, 3)), prefer_first=True).shape == (3, 5, 4)
    assert channels_first(np.zeros((3, 4, 1)), prefer_first=True).shape == (3, 4, 1)
    assert channels_first(np.zeros((3, 4, 1)), prefer_first=False).shape == (1, 3, 4)
    with pytest.raises(ValueError, match=r"^an image must have 1 to 64 channels, got shape"):
        channels_first(np.zeros((9, 99, 80, 70)), prefer_first=False)


def test_digits_are_1797_images_of_which_every_fifth_of_a_class_is_held_out() -> None:
    train, test = (f("digits", root="nowhere") for f in (load, load_test))
    assert (train.images.shape, test.images.shape) == ((1442, 1, 8, 8), (355, 1, 8, 8))
    assert train.classes == test.classes == tuple("0123456789")
    counts = np.bincount(train.labels) + np.bincount(test.labels)
    # the class counts that the UCI repository publishes for optdigits.tes
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(test.labels).tolist() == [count // 5 for count in counts]
    sixteenths = np.rint(np.arange(17) * 255 / 16)
    assert np.unique(train.images).tolist() == sixteenths.tolist()
    check("digits", root="nowhere")


def test_the_held_out_images_are_the_fifth_tenth_of_each_class() -> None:
    labels = np.array([0, 0, 1, 0, 0, 1, 0, 1, 1, 1, 1])
    assert np.flatnonzero(held_out(labels)).tolist() == [6, 9]


def test_array_sources_are_resized_and_recoloured_too() -> None:
    own = load("digits", root="nowhere")
    wide = load("digits", root="nowhere", channels=3)
    assert np.array_equal(wide.images, np.repeat(own.images, 3, axis=1))
    large = load("digits", root="nowhere", image_size=16, channels=3, progress=silent)
    assert large.images.shape == (1442, 3, 16, 16)
    expected = Image.fromarray(own.images[7, 0]).resize((16, 16), Image.Resampling.BILINEAR)
    assert np.array_equal(large.images[7], np.stack([np.array(expected)] * 3))
    assert np.array_equal(large.labels, own.labels)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "8"])
def test_image_size_must_be_a_positive_whole_number(size: Any) -> None:
    message = rf"^image_size must be a positive whole number, got {size!r}$"
    with pytest.raises(ValueError, match=message):
        load("digits", root=".", image_size=size)


@pytest.mark.parametrize("channels", [65, 0, True, 1.0, "3"])
def test_channels_must_be_a_number_that_an_image_can_have(channels: Any) -> None:
    message = rf"^channels must be a whole number from 1 to 64, got {channels!r}$"
    with pytest.raises(ValueError, match=message):
        check("digits", root=".", channels=channels)


def test_a_new_named_source_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "numerals", SOURCES["digits"])
    assert len(load("numerals", root=".")) == 1442


@pytest.mark.parametrize("spec", ["imagenet", "a:b:c", "a b"])
def test_an_unknown_spec_is_told_the_choices(spec: str) -> None:
    message = (
        r"^data must be a known name \(digits, cifar10, cifar100, fashion-mnist\), an existing "
        "folder or archive of class folders or table of paths and labels, here or in nowhere, "
        f"module:function or hf:name, got {spec}, which is none of these$"
    )
    for ask in (load, load_test, check):
        with pytest.raises(ValueError, match=message):
            ask(spec, root="nowhere")


@pytest.mark.parametrize("spec", ["x" * 300, "~nobody_of_this_name/x", "a/" * 3000, "", "a\0b"])
def test_a_place_that_cannot_be_looked_at_is_told_in_one_line(spec: str) -> None:
    for ask in (load, load_test, check):
        with pytest.raises(ValueError, match=r"^(data|spec) must be ") as caught:
            ask(spec, root=".")
        assert str(caught.value).isprintable()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_line_every_10_percent_off_a_terminal() -> None:
    stream = io.StringIO()
    progress = StderrProgress(stream, patience=0)
    for done in range(1, 201):
        progress("decoding x", done, 200)
    assert stream.getvalue() == "".join(f"decoding x: {p} %\n" for p in range(10, 101, 10))


def test_progress_is_a_bar_in_one_line_of_a_terminal() -> None:
    stream, threads = Terminal(), threading.active_count()
    progress = StderrProgress(stream, patience=0)
    for done in range(5):
        time.sleep(0.11)  # the bar is drawn ten times a second at most
        progress("x", done, 4)
        progress("x", done, 4)
    drawn = re.findall(r"\rx: *(\d+) %\|#*[ \d]*\| 00:00, (?:00:00|\?) left", stream.getvalue())
    assert sorted(set(map(int, drawn))) == [0, 25, 50, 75, 100]
    assert drawn == sorted(drawn, key=int)
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")
    assert threading.active_count() == threads  # forks stay safe


def test_a_bar_that_another_job_follows_is_ended_with_its_line() -> None:
    stream = Terminal()
    progress = StderrProgress(stream, patience=0)
    progress("a", 1, 2)
    progress("b", 1, 1)
    first, second, rest = stream.getvalue().split("\n")
    assert (first[:3], second[:3], rest) == ("\ra:", "\rb:", "")
    assert "100 %" not in first
    assert "100 %" in second


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_progress_is_silent_for_short_jobs_and_unknown_totals(kind: type[io.StringIO]) -> None:
    stream = kind()
    StderrProgress(stream)("x", 1, 1)
    StderrProgress(stream, patience=0)("x", 1, 0)
    assert stream.getvalue() == ""


def test_progress_begins_anew_with_another_job() -> None:
    stream = io.StringIO()
    progress = StderrProgress(stream, patience=0)
    for what in ("a", "b"):
        progress(what, 1, 1)
    assert stream.getvalue() == "a: 100 %\nb: 100 %\n"


def test_a_request_with_a_root_that_does_not_exist_is_no_error_where_none_is_needed() -> None:
    SOURCES["digits"].check(Request(spec="digits", root=Path("nowhere")))
