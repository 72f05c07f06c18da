"""Where Ray on this machine writes, and what is said where it cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snas_tune.sweep import SweepLost, cluster
from snas_tune.sweep.cluster import OF_A_SOCKET, quiet_ray, ray_folder


@pytest.fixture
def places(monkeypatch, tmp_path_factory):
    """No variable of the user's; other places are tried in a short folder of this test's own."""
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    base = Path(f"/tmp/snas_{os.getpid()}")
    base.mkdir()
    monkeypatch.setattr(cluster, "PLACES", (str(base / "a"), str(base / "b")))
    yield base
    for path in sorted(base.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    base.rmdir()


def test_the_usual_folder_is_ray_s_own(places, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(places))
    assert ray_folder() is None


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_is_replaced_by_a_short_one(places, monkeypatch, name):
    monkeypatch.setenv(name, str(places / ("x" * 100)))
    found = ray_folder()
    assert found == f"{places}/a/ray-{os.getuid()}"
    assert len(os.fsencode(found + OF_A_SOCKET)) <= 107


def test_the_longest_folder_that_fits_is_kept(places, monkeypatch):
    room = 107 - len(OF_A_SOCKET) - len("/ray") - len(f"{places}/")
    for more, kept in ((0, True), (1, False)):
        monkeypatch.setenv("TMPDIR", str(places / ("x" * (room + more))))
        assert (ray_folder() is None) == kept


@pytest.mark.parametrize("usual", ["/proc/nothing", "relative"])
def test_where_nothing_can_be_written_the_setting_is_named(places, monkeypatch, usual):
    monkeypatch.setenv("TMPDIR", usual)
    (places / "a").write_text("a file in place of a folder")
    assert ray_folder() == f"{places}/b/ray-{os.getuid()}"
    monkeypatch.setattr(cluster, "PLACES", ("/proc/nothing",))
    with pytest.raises(ValueError, match=r"^RAY_TMPDIR must be a folder .* got [^\n]*$") as error:
        ray_folder()
    assert usual in str(error.value)


def test_without_a_home_ray_s_processes_still_know_each_other(monkeypatch, tmp_path):
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is put back as it was
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    cluster._own_token()
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.setenv("HOME", "/proc/nothing")
    cluster._own_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    cluster._own_token()
    assert os.environ["RAY_AUTH_TOKEN"] == "mine"


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (PermissionError(13, "no"), ValueError, r"RAY_TMPDIR and HOME must be folders [^\n]*"),
        (RuntimeError("no"), SweepLost, r"Ray did not start \(no\); try the same command again"),
        (Exception("late\nmore"), SweepLost, r"Ray did not start \(late[^\n]*\); try [^\n]*"),
    ],
)
def test_a_ray_that_does_not_start_is_one_line(places, monkeypatch, error, kind, says):
    def init(**options):
        raise error

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "is_initialized", lambda: False)
    with pytest.raises(kind, match=f"^{says}$"):
        quiet_ray()
    with pytest.raises(ValueError, match=r"^address must be that of a running Ray cluster"):
        quiet_ray(address="auto")


def test_the_log_of_a_node_that_died_is_left_out(monkeypatch):
    shown = []
    monkeypatch.setattr(
        cluster.ray._private.worker,
        "print_to_stdstream",
        lambda data, *, ignore_prefix: shown.append(data["lines"]),
    )
    for _ in range(2):
        cluster._leave_out_raylet_s_log()
    for line in ("Raylet is terminated. Last 20 lines: ...", "The node was marked dead"):
        cluster.ray._private.worker.print_to_stdstream({"lines": [line]}, ignore_prefix=False)
    assert shown == [["The node was marked dead"]]
