from __future__ import annotations

import dataclasses
import pydoc
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

import snas_tune
from snas_tune.config import SearchConfig
from snas_tune.documents import documents, first_sentence
from snas_tune.sweep.settings import SweepSettings
from snas_tune.training.train import Training

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("kind", [SearchConfig, SweepSettings, Training])
def test_the_text_of_a_class_has_the_text_of_each_field(kind):
    whole = " ".join((kind.__doc__ or "").split())
    for field in dataclasses.fields(kind):
        assert f" {field.name}: {first_sentence(documents(kind)[field.name])}" in whole


def test_help_shows_public_names_and_fields():
    shown = pydoc.render_doc(snas_tune, renderer=pydoc.plaintext)
    for name in snas_tune.__all__:
        assert name in shown
    shown = dir(snas_tune)
    assert {name for name in shown if not name.startswith("__")} == set(snas_tune.__all__)
    assert "__version__" in shown
    shown = pydoc.render_doc(SearchConfig, renderer=pydoc.plaintext)
    assert "temperature_start: Temperature of the first step" in shown


def test_a_source_archive_has_all_that_its_tests_need(tmp_path: Path):
    copy = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    if not listed:
        pytest.skip("not a checkout of git")
    for name in listed:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    code = "from setuptools import build_meta; build_meta.build_sdist('..')"
    subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    assert {*listed} - {".gitignore"} - names == set()
