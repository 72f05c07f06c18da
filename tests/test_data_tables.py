"""Tables of paths and labels: CSV, TSV and Parquet, as people have them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from image_trees import encoded, first_pixels, refusal, tree_of, write_folder
from pyarrow import parquet

from snas_tune.data import ImageSet, NoTestImages, load, load_test
from snas_tune.data.columns import read_columns
from snas_tune.data.found import LeftOut
from snas_tune.data.labels import sorted_classes, without_point

IMAGES = tree_of("a.png", "b.png", "more/c.png", "more/d.png")
ROWS = "path,label\na.png,dog\nb.png,cat\nmore/c.png,dog\nmore/d.png,cat\n"


def written(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    """Images and a table of them."""
    write_folder(folder, IMAGES)
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def named(data: ImageSet) -> list[tuple[int, str]]:
    return [(one, data.classes[i]) for one, i in zip(first_pixels(data), data.labels, strict=True)]


WHOLE = [(10, "dog"), (20, "cat"), (30, "dog"), (40, "cat")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.csv", ROWS),
        ("x.CSV", ROWS.replace("path,label", "Label Name,File Name").replace("path", "x")),
        ("x.tsv", ROWS.replace(",", "\t")),
        ("x.csv", ROWS.replace(",", ";").replace("\n", "\r\n")),
        ("x.csv", ROWS.replace("\n", "\r")),
        ("x.csv", ROWS.replace(",", " , ")),
        ("x.csv", b"\xef\xbb\xbf" + ROWS.encode()),
        ("x.csv", ROWS.encode("utf-16")),
        ("x.csv", ROWS.removeprefix("path,label\n")),
        ("x.csv", ROWS.replace("/", "\\").replace("path,label", "filename,target") + "\n\n"),
        ("x.csv", ROWS.replace(".png", "").replace("more/", "").replace("path,label", "id,breed")),
        ("x.csv", ROWS.replace("a.png", "./a.png").replace("more/c.png", "c.png")),
        ("x.csv", ROWS.replace("path,label", "image,class,width").replace("\n", ",8\n")),
    ],
)
def test_a_table_gives_the_images_that_it_names(
    tmp_path: Path, name: str, text: str | bytes
) -> None:
    if name == "x.CSV":
        lines = [line.split(",") for line in str(text).splitlines()]
        text = "\n".join([",".join(lines[0]), *(f"{b},{a}" for a, b in lines[1:])])
    path = written(tmp_path, text, name)
    for cache in (None, tmp_path / "cache", tmp_path / "cache"):
        assert named(load(str(path), root=".", cache_dir=cache)) == WHOLE


def test_absolute_paths_are_read_wherever_the_table_is(tmp_path: Path) -> None:
    written(tmp_path / "images", "")
    lines = [f"{tmp_path}/images/{line}" for line in ROWS.splitlines()[1:]]
    table = tmp_path / "elsewhere" / "x.csv"
    write_folder(tmp_path, {"elsewhere/x.csv": "\n".join(["path,label", *lines]).encode()})
    assert named(load(str(table), root=".")) == WHOLE


def test_a_changed_table_or_image_is_read_anew(tmp_path: Path) -> None:
    path, cache = written(tmp_path / "x", ROWS), tmp_path / "cache"
    load(str(path), root=".", cache_dir=cache)
    path.write_text(ROWS.replace("b.png,cat", "b.png,dog"))
    data = load(str(path), root=".", cache_dir=cache)
    assert data.labels.tolist() == [1, 1, 1, 0]
    (tmp_path / "x" / "a.png").write_bytes(encoded(99))
    assert first_pixels(load(str(path), root=".", cache_dir=cache)) == [99, 20, 30, 40]


def test_the_record_says_which_columns_were_read(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS.replace("path,label", "Id,Breed") + "a.png,dog\n")
    found = load(str(path), root=".").found
    assert found is not None
    assert found.notes == ("columns Id and Breed were read",)
    assert found.left_out == {"named twice": LeftOut(1, (f"{tmp_path}/a.png",))}


SPLITS = "image,label,split\na.png,1,Train\nb.png,10,train\nmore/c.png,1,VALID\nmore/d.png,2,test\n"


def test_a_column_of_parts_is_read(tmp_path: Path) -> None:
    text = SPLITS.replace("Train", "train").replace("d.png,2", "d.png,10")
    path = written(tmp_path, f"{text}e.png,1,test\n")
    write_folder(tmp_path, {"e.png": encoded(50)})
    data = load(str(path), root=".")
    assert named(data) == [(10, "1"), (20, "10"), (30, "1")]
    assert data.validation is not None
    assert data.validation.tolist() == [False, False, True]
    assert data.found is not None
    assert data.found.parts == {"training": "train", "validation": "VALID", "test": "test"}
    assert named(load_test(str(path), root=".")) == [(40, "10"), (50, "1")]


def test_a_column_of_parts_may_have_other_names_and_others_are_none_by_chance(
    tmp_path: Path,
) -> None:
    birds = "class id,filepaths,labels,data set\n0,a.png,dog,train\n1,b.png,cat,train\n"
    data = load(str(written(tmp_path, birds + "0,more/c.png,dog,valid\n")), root=".")
    assert named(data) == WHOLE[:3]
    assert data.validation is not None
    fold = ROWS.replace("label", "label,set").replace("\n", ",north\n").replace("set,north", "set")
    assert load(str(written(tmp_path, fold)), root=".").validation is None


def test_a_table_without_test_images_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS)
    with pytest.raises(
        NoTestImages, match=rf"^test images must be in a part test, got none in {path}"
    ):
        load_test(str(path), root=".")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "table must have rows, got none in {path}"),
        (
            "emotion,pixels,Usage\n0,70 80,Training\n",
            "table must have a column of paths (path, file, filename, file_name, filepath, "
            "file_path, image, image_path, img, img_path, image_file, image_name, image_id, id, "
            "name) and one of labels (label, class, target, category, label_name, class_name, "
            "category_name), got emotion, pixels, Usage in {path}",
        ),
        (
            ROWS.replace("a.png", '"a.png'),
            "table must be readable, got {path} (unexpected end of data)",
        ),
        (
            ROWS + "more,c.png,dog\n",
            "each row of a table must have 2 values, as the first has, got 3 in line 6 of {path}",
        ),
        (
            ROWS + "a.png,cat\n",
            "each image must have one label, got dog and cat for {folder}/a.png in {path}",
        ),
        (
            ROWS + "e.png,cat\nf.png,cat\n",
            "all images must be readable, got 2 that are not: e.png (no such file); f.png (no such "
            'file); bad_images="skip" (--bad-images skip) leaves them out',
        ),
        (
            ROWS.replace("b.png,cat", "b.png,NaN"),
            "each row of a table must have a label, got 1 without (line 3) in {path}; "
            'bad_images="skip" (--bad-images skip) leaves them out',
        ),
        (
            ROWS.replace("cat", "dog"),
            "data must have at least two classes, got 1 (['dog']) in {path}",
        ),
        (
            SPLITS.replace("VALID", "fold3").replace("Train", "train"),
            "parts must have these names: train, training, trainval or trainset; val, valid, "
            "validation, validate, valset, dev, eval or evaluation; test, testing or testset, got "
            "fold3 in {path}",
        ),
        (SPLITS, "training images must have one name, got Train and train in {path}"),
        (
            SPLITS.replace("Train", "train").replace("c.png,1", "c.png,7"),
            "all classes must be among the training classes, got 7 in {path}",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    assert refusal(path) == message.format(path=path, folder=tmp_path)


def test_a_name_of_several_files_is_refused_unless_the_tables_name_tells(tmp_path: Path) -> None:
    write_folder(tmp_path, tree_of("train/1.png", "train/2.png", "test/1.png", "test/2.png"))
    for name in ("train.csv", "train_labels.csv"):
        (tmp_path / name).write_text("id,label\n1,cat\n2,dog\n")
        assert first_pixels(load(str(tmp_path / name), root=".")) == [10, 20]
    (tmp_path / "other.csv").write_text("id,label\n1,cat\n2,dog\n")
    assert "1 (2 files have this name, " in refusal(tmp_path / "other.csv")


def test_bad_rows_are_left_out_on_demand(tmp_path: Path) -> None:
    text = ROWS + "e.png,cat\nmore/x.png,dog\nmore/y.png,\n"
    path = written(tmp_path, text)
    write_folder(tmp_path, {"more/x.png": b"no", "more/y.png": encoded(1)})
    assert "got 1 without (line 8)" in refusal(path)
    data = load(str(path), root=".", bad_images="skip")
    assert named(data) == WHOLE
    assert data.found is not None
    counts = {kind: one.count for kind, one in data.found.left_out.items()}
    assert counts == {"unreadable": 2, "without a class": 1}


@pytest.mark.parametrize("place", ["inside", "beside", "labels"])
def test_a_flat_folder_with_a_table_is_read(tmp_path: Path, place: str) -> None:
    flat = write_folder(tmp_path / "train", tree_of("1.png", "2.png"))
    write_folder(tmp_path / "test", tree_of("1.png", "2.png", "3.png"))
    table = {
        "inside": flat / "any.csv",
        "beside": tmp_path / "train.csv",
        "labels": tmp_path / "labels.csv",
    }[place]
    table.write_text("id,species\n1,cat\n2,dog\n")
    (tmp_path / "sample_submission.csv").write_text("id,species\n1,cat\n")
    assert named(load(str(flat), root=".")) == [(10, "cat"), (20, "dog")]


def test_a_flat_folder_with_two_tables_is_refused(tmp_path: Path) -> None:
    written(tmp_path, ROWS.split("more")[0], "one.csv")
    written(tmp_path, ROWS.split("more")[0], "two.csv")
    for name in ("more/c.png", "more/d.png"):
        (tmp_path / name).unlink()
    (tmp_path / "more").rmdir()
    message = r"^one table must label the images of a folder, got one\.csv and two\.csv for "
    with pytest.raises(ValueError, match=message):
        load(str(tmp_path), root=".")


def test_a_parquet_table_of_paths_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "", "labels.parquet")
    for labels in (["dog", "cat", "dog", "cat"], [3, 1, 3, 1]):
        parquet.write_table(pa.table({"image": list(IMAGES), "label": labels}), path)
        data = load(str(path), root=".")
        names = {"dog": "dog", "cat": "cat"} if labels[0] == "dog" else {"dog": "3", "cat": "1"}
        assert named(data) == [(one, names[label]) for one, label in WHOLE]


def hub_table(path: Path, labels: list[int], contents: list[bytes]) -> None:
    """A Parquet file as Hugging Face's library writes it."""
    images = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(contents)]
    kind = {"names": ["ant", "bee", "cat"], "_type": "ClassLabel"}
    features = {"info": {"features": {"image": {"_type": "Image"}, "label": kind}}}
    table = pa.table({"image": images, "label": labels})
    parquet.write_table(
        table.replace_schema_metadata({"huggingface": json.dumps(features)}), path, row_group_size=2
    )


def test_a_parquet_table_with_the_images_inside_is_read(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    hub_table(path, [0, 2, 0, 2, 0], [encoded(10 * i) for i in range(5)])
    for cache in (None, tmp_path / "cache"):
        data = load(str(path), root=".", cache_dir=cache)
        assert data.classes == ("ant", "bee", "cat")
        assert (first_pixels(data), data.labels.tolist()) == ([0, 10, 20, 30, 40], [0, 2, 0, 2, 0])
        assert data.found is not None
        assert data.found.empty == ("bee",)
    hub_table(path, [0, 2, 0, 2, -1], [b"no", *(encoded(10 * i) for i in range(4))])
    with pytest.raises(ValueError, match=r"^each row of a table must have a label, got 1 without"):
        load(str(path), root=".")
    data = load(str(path), root=".", bad_images="skip")
    assert first_pixels(data) == [0, 10, 20]
    hub_table(path, [0, 7], [encoded(1), encoded(2)])
    assert refusal(path) == f"labels must be from 0 to 2, got 7 in {path}"


@pytest.mark.parametrize("content", [b"", b"PAR1 no PAR1", b"x" * 100], ids=len)
def test_a_broken_parquet_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(content)
    assert refusal(path).startswith(f"table must be readable, got {path} (")


def test_a_label_that_is_no_single_value_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "", "x.parquet")
    parquet.write_table(pa.table({"path": list(IMAGES), "label": [[1], [2], [1], [2]]}), path)
    assert refusal(path) == f"label must be one text or number, got list in {path}"


def test_numbers_come_in_their_order_and_texts_in_that_of_letters() -> None:
    assert sorted_classes({"10", "9", "-1"}) == ("-1", "9", "10")
    assert sorted_classes({"10", "9", "x"}) == ("10", "9", "x")
    assert without_point(["1.0", None, "12.0"]) == ["1", None, "12"]
    assert without_point(["1.0", "1.5"]) == ["1.0", "1.5"]


def test_a_table_that_does_not_exist_is_said_so(tmp_path: Path) -> None:
    assert refusal(tmp_path / "x.csv") == f"data table {tmp_path}/x.csv does not exist"


def test_zero_bytes_and_overlong_values_are_one_line(tmp_path: Path) -> None:
    for text in ("path,label\na\0.png,x\n", f"path,label\n{'x' * 200_000},y\n"):
        assert refusal(written(tmp_path, text)).isprintable()
    assert read_columns(written(tmp_path, ROWS)).names == ("path", "label")


def test_rows_without_a_label_are_named_by_the_lines_of_the_file(tmp_path: Path) -> None:
    rows = [f"{i}.png,{'nan' if i % 10 == 0 else 'ab'[i % 2]}" for i in range(125)]
    text = "\n".join(['"path",label', "", *rows]).replace("1.png,b", '"1.png","b\n"', 1)
    message = refusal(written(tmp_path, text))
    lines = (
        "line 3, line 14, line 24, line 34, line 44, line 54, line 64, line 74, line 84, line 94"
    )
    assert f"got 13 without ({lines} and 3 more) in" in message


def test_rows_of_parquet_are_named_by_their_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "", "x.parquet")
    labels = [None if i % 50 == 0 else "ab"[i % 2] for i in range(210)]
    table = pa.table({"path": [f"{i}.png" for i in range(210)], "label": labels})
    parquet.write_table(table, path)
    assert "got 5 without (row 0, row 50, row 100, row 150, row 200) in" in refusal(path)


def test_rows_without_a_file_come_in_their_order(tmp_path: Path) -> None:
    text = "\n".join(["path,label", *(f"{i}.png,{'ab'[i % 2]}" for i in range(12))])
    message = refusal(written(tmp_path, text))
    assert "0.png (no such file); 1.png (no such file); 2.png (no such file); 3.png" in message
    text = ROWS + "".join(f"e{i}.png,dog\n" for i in range(12))
    data = load(str(written(tmp_path, text)), root=".", bad_images="skip")
    assert data.found is not None
    assert data.found.left_out["unreadable"].examples == tuple(f"line {i}" for i in range(6, 16))
