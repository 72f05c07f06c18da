"""The cache of compiled kernels: what another user could write, or what is damaged, never runs."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from snas_tune.owned import cache_directory, own_directory, read_own, write_own
from snas_tune.space.cell.kernels import build

STRANGER = 54321
"""The number of another user."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")

LIBRARY = bytes(range(256)) * 40


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with compiled kernels; the compiler is replaced by one that counts and is fast."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SNAS_TUNE_CACHE", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(build, "_compile", lambda: LIBRARY)
    assert build.library_bytes() == LIBRARY
    return folder


@pytest.fixture
def compiled_again(cache, monkeypatch):
    """The number of times that the compiler ran since the cache was filled."""
    runs = []
    monkeypatch.setattr(build, "_compile", lambda: runs.append(1) or LIBRARY)
    return runs


def kept(cache: Path) -> Path:
    (path,) = cache.glob("fused-*.so")
    return path


def test_a_library_is_compiled_once_and_kept_for_its_user_alone(cache, compiled_again, caplog):
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept(cache).stat().st_mode) == 0o600
    assert build.library_bytes() == LIBRARY
    assert compiled_again == []
    assert caplog.records == []


@pytest.mark.parametrize("share", [0, 5, 25, 50, 75, 99])
def test_a_library_that_is_cut_off_is_compiled_anew_and_replaced(
    cache, compiled_again, caplog, share
):
    path = kept(cache)
    os.truncate(path, path.stat().st_size * share // 100)
    assert [build.library_bytes() for _ in range(2)] == [LIBRARY, LIBRARY]
    assert len(compiled_again) == len(caplog.records) == 1
    assert f"{path} is damaged" in caplog.text


def test_a_library_with_any_flipped_bit_is_compiled_anew(cache, compiled_again):
    path, draws = kept(cache), random.Random(0)
    whole = path.read_bytes()
    for round_ in range(1, 101):
        content, place = bytearray(whole), draws.randrange(8 * len(whole))
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        assert build.library_bytes() == LIBRARY
        assert len(compiled_again) == round_


def test_a_library_of_another_source_under_this_name_is_compiled_anew(cache, compiled_again):
    path = kept(cache)
    path.write_bytes(build.sealed(b"older", "fused-0123.so"))
    assert build.library_bytes() == LIBRARY
    assert compiled_again == [1]


def plant(path: Path) -> None:
    """A library that passes for whole."""
    path.unlink()
    path.write_bytes(build.sealed(b"planted", path.name))
    path.chmod(0o600)


@as_root
def test_a_library_of_another_user_is_compiled_anew(cache, compiled_again, caplog):
    path = kept(cache)
    plant(path)
    os.chown(path, STRANGER, STRANGER)
    assert build.library_bytes() == LIBRARY
    assert compiled_again == [1]
    assert f"{path} is not this user's own file" in caplog.text
    assert path.stat().st_uid == os.geteuid()  # it is replaced


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_library_that_others_may_write_is_compiled_anew(cache, compiled_again, mode):
    plant(kept(cache))
    kept(cache).chmod(mode)
    assert build.library_bytes() == LIBRARY
    assert compiled_again == [1]


def test_a_link_or_a_pipe_in_place_of_the_library_is_not_followed(cache, compiled_again, tmp_path):
    path = kept(cache)
    plant(path)
    elsewhere = tmp_path / "elsewhere.so"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    assert build.library_bytes() == LIBRARY
    path.unlink()
    os.mkfifo(path)
    assert build.library_bytes() == LIBRARY
    assert len(compiled_again) == 2
    assert build.unsealed(elsewhere.read_bytes(), path.name) == b"planted"


def test_a_library_longer_than_any_is_not_read(cache):
    path = kept(cache)
    os.truncate(path, 10 << 30)
    assert read_own(path, build.MOST_BYTES) is None
    path.unlink()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o1777])
def test_a_cache_that_others_may_write_is_left_for_a_private_place(
    cache, compiled_again, caplog, mode, tmp_path
):
    plant(kept(cache))
    cache.chmod(mode)
    assert [build.library_bytes() for _ in range(2)] == [LIBRARY, LIBRARY]
    assert compiled_again == [1]  # the second time it was in the private place
    assert len(caplog.records) == 1
    assert "must belong to this user alone" in caplog.text
    place = cache_directory()
    assert place == tmp_path / f"snas_tune-{os.geteuid()}"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700


@as_root
def test_a_cache_of_another_user_or_below_one_is_left(cache, compiled_again):
    plant(kept(cache))
    os.chown(cache, STRANGER, STRANGER)
    assert build.library_bytes() == LIBRARY
    assert cache_directory() != cache
    os.chown(cache, 0, 0)
    assert cache_directory() == cache
    os.chown(cache.parent, STRANGER, STRANGER)
    with pytest.raises(ValueError, match="above cache must be changed by this user"):
        own_directory(cache)
    assert compiled_again == [1]


def test_a_folder_above_that_others_may_write_needs_the_sticky_bit(tmp_path):
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(ValueError, match=r"above cache must be changed .*mode 0777"):
        own_directory(above / "cache")
    above.chmod(0o1777)
    assert own_directory(above / "cache") == above / "cache"


def test_a_link_to_the_cache_gives_the_folder_behind_it(tmp_path):
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert own_directory(tmp_path / "link") == tmp_path / "real"


def test_the_private_place_is_no_link_that_another_user_put_there(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SNAS_TUNE_CACHE", "relative")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / f"snas_tune-{os.geteuid()}").symlink_to(tmp_path / "mine")
    place = cache_directory()
    assert place != tmp_path / "mine"
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert place == cache_directory()
    assert "must be an absolute path, got 'relative'" in caplog.text


def test_a_place_that_cannot_be_made_gives_one_line_and_another_place(
    cache, compiled_again, monkeypatch, caplog, tmp_path
):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "cache", Path("/proc/1/cache")):
        monkeypatch.setenv("SNAS_TUNE_CACHE", str(place))
        caplog.clear()
        assert build.library_bytes() == LIBRARY
        assert len(caplog.records) == 1
        assert "a folder for caches is not used" in caplog.text
    assert compiled_again == [1]


def test_a_cache_that_takes_no_file_costs_one_line(cache, monkeypatch, caplog):
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    kept(cache).unlink()
    monkeypatch.setattr(build, "write_own", full)
    assert build.library_bytes() == LIBRARY
    assert len(caplog.records) == 1
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("home", ["", "/", "relative", None])
def test_a_home_that_is_none_never_means_the_root_of_the_file_system(tmp_path, monkeypatch, home):
    for name in ("SNAS_TUNE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("pwd.getpwuid", lambda user: (_ for _ in ()).throw(KeyError(user)))
    monkeypatch.chdir(tmp_path)
    before = set(Path("/").iterdir())
    assert cache_directory() == tmp_path / f"snas_tune-{os.geteuid()}"
    assert set(Path("/").iterdir()) == before
    assert sorted(tmp_path.iterdir()) == [tmp_path / f"snas_tune-{os.geteuid()}"]


def test_what_is_written_for_this_user_alone_is_so_under_any_mask(tmp_path):
    for mask in (0o000, 0o002, 0o022, 0o077):
        before = os.umask(mask)
        try:
            own_directory(tmp_path / f"{mask}" / "cache")
            write_own(tmp_path / f"{mask}" / "cache" / "file", b"content")
        finally:
            os.umask(before)
        assert read_own(tmp_path / f"{mask}" / "cache" / "file", 10) == b"content"


RUNS = "void __attribute__((constructor)) run(void) { __builtin_trap(); }"
LOAD = """
from snas_tune.space.cell.kernels import build
try:
    print(build.load(build.library_bytes()))
except RuntimeError as error:
    print(error)
"""


def loaded(cache: Path, path: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SNAS_TUNE_CACHE": str(cache), "PATH": path}
    return subprocess.run(
        [sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True
    )


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_code_that_was_planted_in_an_open_cache_does_not_run(tmp_path, monkeypatch):
    cache, source, library = tmp_path / "open", tmp_path / "plant.c", tmp_path / "plant.so"
    cache.mkdir()
    source.write_text(RUNS)
    subprocess.run(["cc", "-shared", "-fPIC", str(source), "-o", str(library)], check=True)
    monkeypatch.setenv("PATH", str(tmp_path))  # without a compiler there is none to fall back on
    path = cache / f"fused-{build.kernels_key()}.so"
    path.write_bytes(build.sealed(library.read_bytes(), path.name))
    path.chmod(0o600)
    assert loaded(cache, str(tmp_path)).returncode < 0  # in a cache of one's own it would run
    cache.chmod(0o777)
    done = loaded(cache, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "none of c++, g++, clang++ is installed\n"
    assert "must belong to this user alone" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not shutil.which("c++"), reason="no C++ compiler")
@pytest.mark.parametrize("share", [0, 50, 99])
def test_a_real_library_that_is_cut_off_is_compiled_anew_and_loaded(tmp_path, share):
    cache = tmp_path / "cache"
    assert "CDLL" in loaded(cache, os.environ["PATH"]).stdout
    os.truncate(kept(cache), kept(cache).stat().st_size * share // 100)
    done = loaded(cache, os.environ["PATH"])
    assert (done.returncode, "CDLL" in done.stdout) == (0, True), done.stderr
    assert done.stderr.count("\n") == 1
