"""How an image becomes pixels: the rules of docs/data.md, one test for each kind of file."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from snas_tune.data import ImageSet, load, load_test, silent
from snas_tune.data.depth import Depth, bits_of
from snas_tune.data.images import channels_first, fit, open_image

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def reopened(image: Image.Image, kind: str = "PNG", **options: Any) -> np.ndarray:
    """The pixels of an image that was saved and read again, (C, H, W)."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fit(open_image(buffer.getvalue(), f"x.{kind}", None), None, None)


def save_deep(folder: Path, part: str, *arrays: np.ndarray, suffix: str = "png") -> None:
    """Each array as an image of a class of its own."""
    for i, array in enumerate(arrays):
        place = folder / part / f"class{i}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(place / f"x.{suffix}")


@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 8), (255, 8), (256, 10), (4095, 12), (4096, 14), (65535, 16)]
)
def test_the_bits_are_the_fewest_that_hold_the_largest_sample(largest: int, bits: int) -> None:
    assert bits_of(largest) == bits


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("cache", [False, True])
def test_12_bits_in_16_are_scaled_by_all_images_of_the_source(
    tmp_path: Path, suffix: str, cache: bool
) -> None:
    ramp = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    save_deep(tmp_path / "d", "train", ramp, ramp // 4, suffix=suffix)
    save_deep(tmp_path / "d", "test", ramp // 4, ramp // 4, suffix=suffix)
    form: dict[str, Any] = {"root": ".", "progress": silent}
    form["cache_dir"] = tmp_path / "cache" if cache else None
    images = load(str(tmp_path / "d"), **form)
    assert images.bits == 12
    assert np.array_equal(images.images[0, 0], ramp >> 4)  # white stays white
    assert np.array_equal(images.images[1, 0], ramp >> 6)  # and dark stays dark
    test = load_test(str(tmp_path / "d"), bits=images.bits, **form)
    assert np.array_equal(test.images[0, 0], ramp >> 6)  # scaled as the training images were


def test_16_bits_keep_the_upper_8() -> None:
    assert np.array_equal(reopened(Image.fromarray((GREY.astype(np.uint16) << 8) + 7)), GREY[None])


def test_int32_is_scaled_by_its_own_bits_and_negative_samples_are_refused(tmp_path: Path) -> None:
    values = GREY.astype(np.int32) << 16
    save_deep(tmp_path, "", values, GREY.astype(np.int32), suffix="tif")
    images = load(str(tmp_path), root=".")
    assert images.bits == 24
    assert np.array_equal(images.images[0, 0], GREY)
    assert not images.images[1].any()
    small = reopened(Image.fromarray(GREY.astype(np.int32)), "TIFF")
    assert np.array_equal(small, GREY[None])  # 8 bits in 32: none is lost
    with pytest.raises(ValueError, match=r"^image must hold samples of 0 or more, got -1$"):
        fit(Image.fromarray(values - 1), None, None)


def test_bits_that_are_given_are_not_counted() -> None:
    depth = Depth(12)
    assert depth.to_bytes(np.array([4095, 9999])).tolist() == [255, 255]
    assert (depth.found, depth.wrong) == (12, False)


def test_floats_from_0_to_1_are_scaled_and_others_refused() -> None:
    values = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    assert np.array_equal(
        reopened(Image.fromarray(values), "TIFF")[0], np.rint(values * 255).astype(np.uint8)
    )
    with pytest.raises(ValueError, match=r"not normalised\), got floats from 0 to 255$"):
        fit(Image.fromarray(values * 255), None, None)


def test_transparent_pixels_show_a_white_page_and_not_their_hidden_colours() -> None:
    alpha = np.zeros((6, 8), np.uint8)
    alpha[:, 4:], alpha[0, 0] = 255, 128
    found = reopened(Image.fromarray(np.dstack([COLOUR, alpha])))
    assert np.all(found[:, 1:, :4] == 255)
    assert np.array_equal(found[:, :, 4:], COLOUR.transpose(2, 0, 1)[:, :, 4:])
    mixed = (COLOUR[0, 0] * (128 / 255)) + 255 * (127 / 255)
    assert np.abs(found[:, 0, 0] - mixed).max() <= 1
    grey = reopened(Image.fromarray(np.dstack([GREY, alpha])))
    assert grey.shape == (1, 6, 8)
    assert np.all(grey[0, 1:, :4] == 255)
    assert np.array_equal(grey[0, :, 4:], GREY[:, 4:])


def test_opaque_alpha_changes_nothing() -> None:
    opaque = np.full((6, 8), 255, np.uint8)
    whole = reopened(Image.fromarray(np.dstack([COLOUR, opaque])))
    assert np.array_equal(whole, COLOUR.transpose(2, 0, 1))


def test_a_palette_with_transparency_is_laid_over_the_page() -> None:
    palette = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    found = reopened(palette, transparency=bytes([0] + [255] * 7))
    expected = np.array(palette.convert("RGB")).transpose(2, 0, 1)
    clear = np.array(palette) == 0
    assert clear.any()
    assert np.all(found[:, clear] == 255)
    assert np.array_equal(found[:, ~clear], expected[:, ~clear])


def test_a_colour_that_stands_for_transparency_is_laid_over_the_page() -> None:
    found = reopened(Image.fromarray(GREY), transparency=20)
    assert found[0, 0, 4] == 255  # it was 20
    assert np.array_equal(np.delete(found, 4), np.delete(GREY, 4))


def test_one_bit_is_black_and_white() -> None:
    bits = GREY > 100
    assert np.array_equal(reopened(Image.fromarray(bits))[0], bits * 255)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.fromarray(np.full((6, 8), value, np.uint8)) for value in (10, 200)]
    assert np.all(reopened(frames[0], "GIF", save_all=True, append_images=frames[1:]) == 10)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("LAB", "TIFF"), ("YCbCr", "JPEG")])
def test_other_colours_become_rgb(mode: str, kind: str) -> None:
    red = Image.new("RGB", (16, 16), (200, 40, 30))
    lab = Image.new("LAB", (16, 16), (112, 188, 172))  # the same red, 44, 60, 44
    found = reopened(lab if mode == "LAB" else red.convert(mode), kind)
    assert found.shape == (3, 16, 16)
    assert np.abs(found.mean((1, 2)) - (200, 40, 30)).max() < 25


def bars() -> Image.Image:
    """32x8: black with a white column at either end."""
    pixels = np.zeros((8, 32), np.uint8)
    pixels[:, :4] = pixels[:, -4:] = 255
    return Image.fromarray(pixels)


def test_a_wide_image_is_cropped_padded_or_squashed() -> None:
    assert not fit(bars(), 8, None, "crop").any()  # the ends are gone
    padded = fit(bars(), 8, None, "pad")[0]
    assert padded[3:5, 0].min() > 200
    assert padded[3:5, -1].min() > 200
    assert not padded[:3].any()
    assert not padded[5:].any()
    squashed = fit(bars(), 8, None, "squash")[0]
    assert squashed[:, [0, -1]].min() > 200
    assert not squashed[:, 2:6].any()
    assert fit(bars().rotate(90, expand=True), 8, 3, "pad")[:, 0, 3:5].min() > 200


def test_the_way_to_a_square_is_part_of_the_request_and_of_the_cache(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "d" / name).mkdir(parents=True)
        bars().save(tmp_path / "d" / name / "x.png")
    form: dict[str, Any] = {"root": ".", "image_size": 8, "cache_dir": tmp_path / "cache"}
    means = [load(str(tmp_path / "d"), fit=how, **form).images.mean() for how in ("crop", "squash")]
    assert means[0] == 0 < means[1]
    with pytest.raises(ValueError, match=r"^fit must be one of crop, pad, squash, got 'zoom'$"):
        load(str(tmp_path / "d"), fit="zoom", **form)


def test_image_files_have_1_or_3_channels() -> None:
    with pytest.raises(ValueError, match=r"^channels of image files must be 1 or 3, got 5$"):
        fit(Image.fromarray(GREY), None, 5)


FIVE = np.random.default_rng(1).integers(0, 256, (12, 9, 9, 5), np.uint8)


@pytest.mark.parametrize("size", [None, 9, 6])
def test_arrays_of_five_channels_are_read_and_resized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None
) -> None:
    found = own_source(tmp_path, monkeypatch, "FIVE, LABELS").read(size)
    wanted = FIVE.transpose(0, 3, 1, 2)
    if size == 6:
        wanted = np.stack([[fit(Image.fromarray(c), 6, None)[0] for c in one] for one in wanted])
    assert np.array_equal(found.images, wanted)


def test_a_data_set_of_five_channels_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = "[(torch.from_numpy(one).permute(2, 0, 1), i % 2) for i, one in enumerate(FIVE)]"
    found = own_source(tmp_path, monkeypatch, pairs).read(None)
    assert np.array_equal(found.images, FIVE.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64"])
def test_tensors_of_any_floats_are_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    returned = f"(torch.from_numpy(FIVE[..., :3]) / 255).to(torch.{kind}), torch.tensor(LABELS)"
    found = own_source(tmp_path, monkeypatch, returned).read(None)
    error = np.abs(found.images - FIVE[..., :3].transpose(0, 3, 1, 2).astype(int)).max()
    assert error <= (1 if kind == "bfloat16" else 0)  # which has 8 significant bits


def test_images_of_different_channels_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = "[(one[..., : 5 - (i == 3)], i % 2) for i, one in enumerate(FIVE)]"
    with pytest.raises(
        ValueError,
        match=r"^images must have equally many channels, got 5 \(item 0 .*\) and 4 \(item 3 .*\)$",
    ):
        own_source(tmp_path, monkeypatch, pairs).read(None)


def test_other_channels_than_the_arrays_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"^channels must be the 5 of the images, got 3 "):
        own_source(tmp_path, monkeypatch, "FIVE, LABELS").read(None, channels=3)


def test_channels_are_the_end_that_is_no_side() -> None:
    for first, shape in ((True, (5, 8, 8)), (False, (8, 8, 5)), (True, (4, 9, 8))):
        for prefer in (True, False):
            found = channels_first(np.zeros(shape), prefer_first=prefer).shape
            assert found[0] == shape[0 if first else -1]
    assert channels_first(np.arange(125).reshape(5, 5, 5), prefer_first=True)[0, 0, 1] == 1
    assert channels_first(np.arange(125).reshape(5, 5, 5), prefer_first=False)[1, 0, 0] == 1


class Own:
    """A module of the user's."""

    def __init__(self, spec: str) -> None:
        self.spec = spec

    def read(self, size: int | None, **form: Any) -> ImageSet:
        return load(self.spec, root=".", image_size=size, progress=silent, **form)


def own_source(folder: Path, monkeypatch: pytest.MonkeyPatch, returned: str) -> Own:
    name = f"own_{folder.name.replace('-', '_')}"
    (folder / f"{name}.py").write_text(
        "import numpy as np, torch\n"
        "FIVE = np.random.default_rng(1).integers(0, 256, (12, 9, 9, 5), np.uint8)\n"
        "LABELS = np.arange(12) % 2\n"
        f"def load():\n    return {returned}\n"
    )
    monkeypatch.syspath_prepend(folder)
    return Own(f"{name}:load")
