"""A cloud's notice: asked for as the clouds document it, and passed on to a real Ray."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metadata import AMAZON, GOOGLE, serve_metadata

from snas_tune.cloud import notice
from snas_tune.cloud.notice import amazon_time, ask_amazon, ask_google, find_cloud, tell_ray, watch


def action(when: datetime) -> str:
    return json.dumps({"action": "terminate", "time": f"{when:%Y-%m-%dT%H:%M:%SZ}"})


@given(
    st.datetimes(
        min_value=datetime(2020, 1, 1),
        max_value=datetime(2099, 1, 1),
        timezones=st.just(timezone.utc),
    )
)
def test_the_time_of_amazons_notice_is_the_one_that_was_written(when):
    assert amazon_time(action(when)) == when.replace(microsecond=0).timestamp()


@pytest.mark.parametrize("text", ["", "soon", "[]", "{}", '{"time": 5}', '{"time": "tomorrow"}'])
def test_another_answer_of_amazon_is_refused(text):
    with pytest.raises(ValueError, match="instance-action must be an object with a time, got"):
        amazon_time(text)


def test_amazon_is_asked_with_a_token_and_says_when(tmp_path):
    file = tmp_path / "notice"
    with serve_metadata(AMAZON, file) as service:
        assert find_cloud(service.url, 0) == "Amazon"
        assert ask_amazon(service.url) is None
        when = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=120)
        file.write_text(action(when))
        assert ask_amazon(service.url) == when.timestamp()


def test_google_says_true_and_goes_within_half_a_minute(tmp_path):
    file = tmp_path / "notice"
    with serve_metadata(GOOGLE, file) as service:
        assert find_cloud(service.url, 0) == "Google"
        assert ask_google(service.url) is None
        file.write_text("TRUE\n")
        when = ask_google(service.url)
        assert when is not None
        assert 28 < when - time.time() <= 30
        file.write_text("MAYBE")
        with pytest.raises(ValueError, match="preempted must be TRUE or FALSE, got 'MAYBE'"):
            ask_google(service.url)


def test_a_notice_is_seen_through_answers_that_fail(tmp_path, capsys):
    file = tmp_path / "notice"
    with serve_metadata(AMAZON, file) as service:
        service.broken = True
        seen: list[notice.Notice] = []
        thread = threading.Thread(
            target=lambda: seen.append(watch(service.url, "Amazon", every=0.02))
        )
        thread.start()
        while service.asked < 5:
            time.sleep(0.01)
        assert not seen
        file.write_text(action(datetime(2030, 1, 1, tzinfo=timezone.utc)))
        service.broken = False
        thread.join(timeout=20)
    assert [told.when for told in seen] == [datetime(2030, 1, 1, tzinfo=timezone.utc).timestamp()]
    assert capsys.readouterr().out.count("asking on: HTTP Error 503") == 1


def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snas_tune.cloud.notice", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **more},
    )


def test_where_no_cloud_answers_it_says_so():
    with pytest.raises(ValueError, match="Amazon or Google must answer within 0 s, got nothing"):
        find_cloud("http://127.0.0.1:9", 0)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("every", "0", "positive"),
        ("every", "nan", "positive"),
        ("now", "-1", "more than the last 5 seconds"),
        ("now", "5", "more than the last 5 seconds"),
        ("now", "nan", "more than the last 5 seconds"),
    ],
)
def test_a_time_that_is_none_is_refused(name, value, rule):
    done = run(f"--{name}", value)
    assert done.returncode == 2
    assert f"--{name} must be {rule}, got {value}" in done.stderr


def test_one_watches_at_a_time(tmp_path):
    """A second `ray up` starts it again."""
    place = {"TMPDIR": str(tmp_path)}
    with (tmp_path / notice.LOCK.name).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run("--metadata", "http://127.0.0.1:9", **place)
    assert done.returncode == 0
    assert "another process watches already" in done.stdout


def test_ray_that_cannot_be_told_is_told_again_until_the_machine_is_gone(tmp_path, capsys):
    """There is no Ray at this address."""
    environment = {"RAY_ADDRESS": "127.0.0.1:9", "TMPDIR": str(tmp_path)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(notice, "RAY_SECONDS", 1.0)
        start = time.time()
        assert not tell_ray(notice.Notice("Amazon", start + notice.LAST + 2.5))
    assert time.time() - start >= 2.5
    assert capsys.readouterr().out.count("Ray could not be told") >= 2
