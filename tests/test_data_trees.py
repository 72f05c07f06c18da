"""Folders and archives of class folders: classes, training and test images, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_trees import (
    PETS,
    SPLIT,
    encoded,
    first_pixels,
    same,
    tree_of,
    write_archive,
    write_folder,
)

from snas_tune.data import NoTestImages, check, load, load_test
from snas_tune.data.entries import Entries
from snas_tune.data.tree import grow


def test_a_folder_gives_its_images_sorted_by_class_and_name(tmp_path: Path) -> None:
    data = load(str(write_folder(tmp_path, PETS)), root="nowhere")
    assert data.classes == ("cat", "dog")
    assert data.labels.tolist() == [0, 0, 1, 1]
    assert first_pixels(data) == [30, 20, 10, 40]
    assert data.images.shape == (4, 1, 4, 4)


def test_a_relative_path_is_also_looked_for_below_the_root(tmp_path: Path) -> None:
    write_folder(tmp_path / "pets", PETS)
    assert len(load("pets", root=tmp_path)) == 4


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    write_folder(tmp_path, PETS)
    before = load(str(tmp_path), root=".")
    noise = ("README.md", "cat/notes.txt", "cat/._a.png", ".git/x.png", "dog/.cache/y.png")
    write_folder(tmp_path, dict.fromkeys((*noise, "top.png", "__MACOSX/cat/a.png"), b"no image"))
    assert same(load(str(tmp_path), root="."), before)


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar"])
def test_training_and_test_images_are_kept_apart(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        spec = str(write_folder(tmp_path, SPLIT))
    else:
        spec = str(write_archive(tmp_path / f"x{kind}", SPLIT))
    train, test = load(spec, root="."), load_test(spec, root=".")
    assert first_pixels(train) == [10, 20, 30, 60]
    assert train.validation is not None
    assert train.validation.tolist() == [False, False, False, True]
    assert first_pixels(test) == [40, 50]
    assert test.labels.tolist() == [0, 1]
    check(spec, root=".", train=False)


def test_val_alone_is_for_validation_and_not_for_a_test(tmp_path: Path) -> None:
    names = ("train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png")
    write_folder(tmp_path, tree_of(*names))
    data = load(str(tmp_path), root=".")
    assert data.validation is not None
    assert data.validation.tolist() == [False, False, True, True]
    message = r"got no such folders but val/, whose images are for validation, in"
    with pytest.raises(NoTestImages, match=message):
        load_test(str(tmp_path), root=".")


def test_test_labels_are_those_of_the_training_classes(tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/b/1.png", "train/c/1.png")
    tests = ("test/b/1.png", "test/c/1.png", "test/c/2.png")
    write_folder(tmp_path, tree_of(*names, *tests))
    data = load_test(str(tmp_path), root=".")
    assert (data.classes, data.labels.tolist()) == (("a", "b", "c"), [1, 2, 2])


def test_a_test_class_without_training_images_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, SPLIT | tree_of("test/eel/1.png"))
    with pytest.raises(ValueError, match=r"^test classes must be among .*, got eel in .*"):
        load_test(str(tmp_path), root=".")


def test_a_class_that_is_called_train_is_a_class(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("bus/1.png", "train/1.png"))
    assert load(str(tmp_path), root=".").classes == ("bus", "train")


def test_a_folder_without_a_test_part_has_no_test_images(tmp_path: Path) -> None:
    write_folder(tmp_path, PETS)
    with pytest.raises(ValueError, match=rf"^test images must be in test/ .* {tmp_path}$"):
        load_test(str(tmp_path), root=".")
    write_folder(tmp_path / "half", tree_of("train/cat/1.png", "train/dog/1.png"))
    assert len(load(str(tmp_path / "half"), root=".")) == 2
    with pytest.raises(ValueError, match=r"^test images must be in test/"):
        load_test(str(tmp_path / "half"), root=".")


@pytest.mark.parametrize("kind", ["folder", ".zip", ".tar"])
def test_an_empty_class_is_named(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        spec = write_folder(tmp_path, PETS)
        (tmp_path / "eel").mkdir()
    else:
        spec = write_archive(tmp_path / f"x{kind}", PETS, folders=("cat", "eel"))
    message = rf"^class folder must hold at least one image, got none in {spec}/eel$"
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask(str(spec), root=".")


def test_one_class_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("cat/1.png"))
    message = rf"^data must have at least two classes, got 1 \(\['cat'\]\) in {tmp_path}$"
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask(str(tmp_path), root=".")


def test_a_folder_of_images_without_classes_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("1.png", "2.png"))
    with pytest.raises(ValueError, match=r"^images must be in one folder for each class,"):
        check(str(tmp_path), root=".")


@pytest.mark.parametrize("content", [b"not an image", encoded(0, size=(64, 64))[:60], b""])
def test_a_corrupt_image_is_named(tmp_path: Path, content: bytes) -> None:
    folder = write_folder(tmp_path / "pets", {**PETS, "dog/bad.png": content})
    archive = write_archive(tmp_path / "pets.tar.gz", {**PETS, "dog/bad.png": content})
    for path in (folder, archive):
        message = rf"^image must be readable, got {path}/dog/bad\.png \("
        with pytest.raises(ValueError, match=message) as caught:
            load(str(path), root=".", image_size=4)
        assert "\n" not in str(caught.value)


def test_images_of_two_sizes_are_refused_unless_they_are_resized(tmp_path: Path) -> None:
    write_folder(tmp_path, PETS | {"eel/1.png": encoded(9, size=(5, 7))})
    message = (
        r"^images must have one size, or image_size must be passed to resize them, "
        rf"got 4x4 \({tmp_path}/cat/a\.PNG\) and 5x7 \({tmp_path}/eel/1\.png\)$"
    )
    for ask in (load, check):
        with pytest.raises(ValueError, match=message):
            ask(str(tmp_path), root=".")
    assert load(str(tmp_path), root=".", image_size=6).images.shape == (5, 1, 6, 6)


@pytest.mark.parametrize("colour", [0, 1, 2, 3])
@pytest.mark.parametrize("cache", [False, True])
def test_one_image_in_colour_makes_all_of_them_rgb(
    tmp_path: Path, colour: int, cache: bool
) -> None:
    names = ("a/0.png", "a/1.png", "b/2.png", "b/3.png")
    contents = tree_of(*names) | {names[colour]: encoded(70, "RGB")}
    folder = write_folder(tmp_path / "x", contents)
    cache_dir = tmp_path / "cache" if cache else None
    data = load(str(folder), root=".", cache_dir=cache_dir)
    if cache_dir is not None:
        assert len(list(cache_dir.glob("*/*.npy"))) == 2
    expected = [[10 * (i + 1)] * 3 for i in range(4)]
    expected[colour] = [70, 0, 185]
    assert data.images[:, :, 0, 0].tolist() == expected
    assert load(str(folder), root=".", channels=1).images.shape == (4, 1, 4, 4)


def test_check_decodes_one_image_of_each_class_of_a_folder(tmp_path: Path) -> None:
    write_folder(tmp_path, {**PETS, "dog/0.png": b"no image"})
    with pytest.raises(ValueError, match=rf"^image must be readable, got {tmp_path}/dog/0\.png \("):
        check(str(tmp_path), root=".")


def test_fewer_test_images_than_classes_are_refused(tmp_path: Path) -> None:
    names = ("train/a/1.png", "train/b/1.png", "train/c/1.png", "test/a/1.png", "test/b/1.png")
    write_folder(tmp_path, tree_of(*names))
    message = (
        "^data must have at least as many images as classes, "
        rf"got 3 classes and 2 images in {tmp_path}/test$"
    )
    for ask in (load_test, lambda spec, root: check(spec, root=root, train=False)):
        with pytest.raises(ValueError, match=message):
            ask(str(tmp_path), root=".")


def test_what_does_not_exist_is_said_so(tmp_path: Path) -> None:
    for ask in (load, load_test, check):
        with pytest.raises(ValueError, match=r"^data directory \./nowhere does not exist$"):
            ask("./nowhere", root=tmp_path)
        with pytest.raises(ValueError, match=r"^data archive nowhere\.zip does not exist$"):
            ask("nowhere.zip", root=tmp_path)


NAME = st.sampled_from(["a", "b", "c"])


FILE = st.builds(lambda c, n, e: f"{c}/{n}{e}", NAME, NAME, st.sampled_from([".png", ".txt"]))


@given(st.lists(FILE, unique=True, max_size=12))
@settings(deadline=None)
def test_grow_agrees_with_its_definition(files: list[str]) -> None:
    images = sorted(name for name in files if name.endswith(".png"))
    folders = sorted({name[0] for name in files})
    filled = sorted({name[0] for name in images})
    try:
        tree = grow(Path("x"), Entries(files), train=True)
    except ValueError:
        assert folders != filled or len(filled) < 2
    else:
        assert tree.files == tuple(images)
        assert tree.classes == tuple(filled)
        assert [tree.classes[i] for i in tree.labels] == [name[0] for name in images]


@pytest.mark.parametrize("target", ["nowhere.png", "3.png"])
def test_a_file_that_vanished_is_named(tmp_path: Path, target: str) -> None:
    folder = write_folder(tmp_path / "pets", PETS)
    (folder / "dog" / "3.png").symlink_to(target)
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(
            ValueError, match=r"^image must be readable, got .*3.png \(it is a broken link\)"
        ):
            load(str(folder), root=".", cache_dir=cache)


def test_only_the_lack_of_test_images_is_told_as_such(tmp_path: Path) -> None:
    plain = write_folder(tmp_path / "pets", PETS)
    with pytest.raises(NoTestImages, match=r"^test images must be in test/ beside train/"):
        load_test(str(plain), root=".")
    broken = write_folder(tmp_path / "broken", {**SPLIT, "test/dog/9.png": b"no"})
    with pytest.raises(ValueError, match=r"^image must be readable") as caught:
        load_test(str(broken), root=".")
    assert not isinstance(caught.value, NoTestImages)


def test_a_folder_in_a_folder_is_read_as_its_archive_is(tmp_path: Path) -> None:
    tree = {f"PetImages/{name}": content for name, content in PETS.items()}
    tree |= {"readme[1].txt": b"", "PetImages/cat/Thumbs.db": b""}
    folder = load(str(write_folder(tmp_path / "pets", tree)), root=".")
    archive = load(str(write_archive(tmp_path / "pets.zip", tree)), root=".")
    assert folder.classes == ("cat", "dog")
    assert same(folder, archive)
    assert folder.found is not None
    assert archive.found is not None
    assert folder.found.left_out == archive.found.left_out


def link_counts(folder: Path) -> tuple[list[int], list[str]]:
    found = load(str(folder), root=".").found
    assert found is not None
    linked = found.left_out.get("linked twice")
    return list(found.counts), list(linked.examples) if linked else []


def test_each_real_folder_is_read_once(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", PETS)
    (folder / "cat" / "up").symlink_to("..")
    (folder / "dog" / "far").symlink_to(tmp_path)
    (folder / "dog" / "own").symlink_to("deep")
    (folder / "dog" / "self").symlink_to("self")
    links = [f"cat/up -> {folder}", f"dog/far -> {tmp_path}", f"dog/own -> {folder}/dog/deep"]
    data = load(str(folder), root=".")
    assert first_pixels(data) == [30, 20, 10, 40]
    assert link_counts(folder) == ([2, 2], links)


def test_links_to_other_folders_are_followed_also_in_a_circle(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", PETS)
    store = write_folder(tmp_path / "store", {"a/1.png": encoded(1), "b/1.png": encoded(2)})
    (store / "a" / "b").symlink_to("../b")
    (store / "b" / "a").symlink_to("../a")
    (folder / "cat" / "more").symlink_to(store / "a")
    (folder / "eel").symlink_to(store / "b")
    assert load(str(folder), root=".").classes == ("cat", "dog", "eel")
    assert link_counts(folder) == (
        [3, 2, 1],
        [f"cat/more/b -> {store}/b", f"eel/a -> {store}/a"],
    )


def test_a_folder_below_a_link_is_not_read_again(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "pets", PETS)
    store = write_folder(tmp_path / "store", {"a/1.png": encoded(1), "b/1.png": encoded(2)})
    (folder / "cat" / "more").symlink_to(store / "a")
    (folder / "dog" / "more").symlink_to(store)
    assert link_counts(folder) == ([3, 3], [])


def test_a_class_that_is_a_link_to_another_is_no_class(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, PETS)
    (folder / "hound").symlink_to("dog")
    assert link_counts(folder) == ([2, 2], [f"hound -> {folder}/dog"])


def test_spellings_of_one_name_in_unicode_are_one_class(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    tree = tree_of(f"{composed}/1.png", f"{decomposed}/2.png", "dog/1.png")
    data = load(str(write_archive(tmp_path / "x.zip", tree)), root=".")
    assert data.classes == (composed, "dog")
    assert data.labels.tolist() == [0, 0, 1]
    assert data.found is not None
    assert data.found.notes == (f"class folder {composed} has 2 spellings, read as one",)


def test_a_part_may_spell_its_classes_in_another_form(tmp_path: Path) -> None:
    names = ("train/caf\u00e9/1.png", "train/dog/1.png", "test/cafe\u0301/1.png", "test/dog/1.png")
    path = write_archive(tmp_path / "x.zip", tree_of(*names))
    assert load_test(str(path), root=".").labels.tolist() == [0, 1]


def test_classes_that_differ_by_case_only_stay_two_and_are_noted(tmp_path: Path) -> None:
    data = load(str(write_archive(tmp_path / "x.zip", tree_of("A/1.png", "a/1.png"))), root=".")
    assert data.classes == ("A", "a")
    assert data.found is not None
    assert data.found.notes == ("2 classes differ from a by case only",)


@pytest.mark.parametrize(
    "name", ["a\nb", "tab\there", "\udce9", "emoji 🐈", " space ", "-x", "%&?"]
)
def test_odd_names_are_classes_and_stand_on_one_line(tmp_path: Path, name: str) -> None:
    folder = write_folder(tmp_path, tree_of(f"{name}/1.png", "dog/1.png"))
    cache = tmp_path.parent / f"{tmp_path.name}-cache"
    for _ in range(2):
        assert name in load(str(folder), root=".", cache_dir=cache).classes
    write_folder(tmp_path, {f"{name}/{name}.png": b"no"})
    with pytest.raises(ValueError, match=r"^image must be readable") as caught:
        load(str(folder), root=".")
    assert str(caught.value).isprintable()
