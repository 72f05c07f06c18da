"""Tell Ray when the cloud says that it will take this machine away.

    python -m snas_tune.cloud.notice             # on every spot machine, beside Ray
    python -m snas_tune.cloud.notice --now 100   # the notice has come, as Kubernetes' preStop hook

Amazon says so about two minutes before, Google thirty seconds, and only if asked; Ray does not ask.
This program asks, and runs ``ray drain-node``: then Ray starts no trial here any more, running
trials save themselves at the end of their epoch, and the loss is not their failure. Just before the
machine goes Ray is killed here, so that its trials go on elsewhere at once.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from http.client import HTTPException
from pathlib import Path

METADATA = "http://169.254.169.254"
"""The address at which both clouds answer questions about the machine that asks."""

GOOGLE_SECONDS = 30.0
"""Google says that the machine goes, not when: it is this long after the notice."""

EVERY = 5.0
"""Seconds between two questions, as Amazon's guide advises."""

PATIENCE = 60.0
"""Seconds within which a metadata service has to answer for the first time."""

ANSWER = 2.0
"""Seconds for one question. The service is on the machine itself."""

RAY_SECONDS = 30.0
"""Seconds for one of Ray's commands, which starts a Python."""

LAST = 5.0
"""Seconds before the machine goes at which Ray's time is up.

Ray takes a death for the announced one only if it comes after the announced time and was not an
orderly end, as the shutdown of a machine is. So this program announces an earlier time and kills
Ray just after it. Besides, who merely falls silent is believed to be there for another minute.
"""

LOCK = Path(tempfile.gettempdir()) / "snas_tune_notice.lock"

# A proxy knows nothing of this machine.
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Ask = Callable[[str], float | None]
"""From the service's address to when the machine goes, in seconds since 1970, if that is known."""


def amazon_time(text: str) -> float:
    """When a machine goes, from the answer of ``spot/instance-action``.

    Args:
        text: as in ``{"action": "terminate", "time": "2026-11-25T08:22:00Z"}``.

    Returns:
        Seconds since 1970.

    Raises:
        ValueError: it is something else.
    """
    try:
        told = datetime.fromisoformat(json.loads(text)["time"].replace("Z", "+00:00"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"spot/instance-action must be an object with a time, got {text!r}"
        ) from error
    return (told if told.tzinfo else told.replace(tzinfo=timezone.utc)).timestamp()


def ask_amazon(metadata: str) -> float | None:
    """Ask version 2 of Amazon's service, which wants a token first; there is a 404 until it is so.

    Raises:
        OSError: nothing like it answers there.
        ValueError: the answer is another than documented.
    """
    seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = _text(f"{metadata}/latest/api/token", seconds, "PUT")
    try:
        text = _text(
            f"{metadata}/latest/meta-data/spot/instance-action",
            {"X-aws-ec2-metadata-token": token},
        )
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    return amazon_time(text)


def ask_google(metadata: str) -> float | None:
    """Ask Google's service, which says FALSE until it is so.

    Raises:
        OSError: nothing like it answers there.
        ValueError: the answer is another than documented.
    """
    text = _text(
        f"{metadata}/computeMetadata/v1/instance/preempted", {"Metadata-Flavor": "Google"}
    ).strip()
    if text not in ("TRUE", "FALSE"):
        raise ValueError(f"instance/preempted must be TRUE or FALSE, got {text!r}")
    return time.time() + GOOGLE_SECONDS if text == "TRUE" else None


CLOUDS: dict[str, Ask] = {"Amazon": ask_amazon, "Google": ask_google}


def _text(url: str, headers: dict[str, str], method: str = "GET") -> str:
    request = urllib.request.Request(url, headers=headers, method=method)
    with _DIRECTLY.open(request, timeout=ANSWER) as answer:
        return str(answer.read().decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Notice:
    """A machine will be taken away."""

    cloud: str
    when: float
    """Seconds since 1970."""


def find_cloud(metadata: str, patience: float = PATIENCE) -> str:
    """Which cloud's service answers.

    Args:
        metadata: its address.
        patience: seconds; a machine that has just started may be quicker than its network.

    Raises:
        ValueError: none does.
    """
    end = time.monotonic() + patience
    while True:
        for cloud, ask in CLOUDS.items():
            try:
                ask(metadata)
            except (OSError, HTTPException, ValueError):
                continue
            return cloud
        if time.monotonic() >= end:
            raise ValueError(
                f"metadata service of {' or '.join(CLOUDS)} must answer within {patience:g} s, "
                f"got nothing from {metadata}: there is no notice to watch for"
            )
        time.sleep(1)


def watch(metadata: str, cloud: str, every: float = EVERY) -> Notice:
    """Ask until there is a notice. A question that fails is asked again."""
    ask, quiet = CLOUDS[cloud], False
    while True:
        try:
            when = ask(metadata)
            quiet = False
        except (OSError, HTTPException, ValueError) as error:
            if not quiet:  # once, not every five seconds for days
                say(f"no answer from {metadata}, asking on: {error}")
            when, quiet = None, True
        if when is not None:
            return Notice(cloud, when)
        time.sleep(every)


def tell_ray(notice: Notice) -> bool:
    """Have Ray drain this machine; try again until Ray has heard it or the time is up.

    Returns:
        Whether Ray was told.
    """
    while (left := notice.when - LAST - time.time()) > 0:
        problem = _ray(
            "drain-node",
            "--reason",
            "DRAIN_NODE_REASON_PREEMPTION",
            "--reason-message",
            f"{notice.cloud} takes this machine away",
            "--deadline-remaining-seconds",
            str(int(left)),
        )
        if not problem:
            say(f"{notice.cloud} takes this machine away in {left + LAST:.0f} s; Ray knows")
            return True
        say(f"Ray could not be told: {problem.splitlines()[-1]}")
        time.sleep(1)
    return False


def leave(notice: Notice) -> None:
    """Kill Ray on this machine when its time is up."""
    time.sleep(max(0.0, notice.when - LAST + 1 - time.time()))
    say(_ray("stop", "--force") or "Ray is stopped here")


def _ray(*words: str) -> str:
    """Run Ray's own command of this environment; why it failed, or nothing."""
    command = [str(Path(sys.executable).parent / "ray"), *words]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=RAY_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return (done.stdout + done.stderr).strip() if done.returncode else ""


def say(line: str) -> None:
    """A line of the log."""
    print(f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} {line}", flush=True)


def main() -> None:
    """Watch, tell, and end."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--metadata", default=METADATA, help="address of the metadata service")
    parser.add_argument("--every", type=float, default=EVERY, help="seconds between two questions")
    parser.add_argument(
        "--now",
        type=float,
        metavar="SECONDS",
        default=None,
        help="do not watch: this machine goes in so many seconds. Tell Ray, then stop it",
    )
    args = parser.parse_args()
    if not args.every > 0:
        parser.error(f"--every must be positive, got {args.every:g}")
    if args.now is not None:
        if not args.now > LAST:
            parser.error(f"--now must be more than the last {LAST:g} seconds, got {args.now:g}")
        _obey(Notice("its owner", time.time() + args.now))
        return
    with LOCK.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another process watches already")
            return
        try:
            cloud = find_cloud(args.metadata)
        except ValueError as error:
            sys.exit(f"error: {error}")
        say(f"{cloud} is asked every {args.every:g} s whether it takes this machine away")
        _obey(watch(args.metadata, cloud, args.every))


def _obey(notice: Notice) -> None:
    if not tell_ray(notice):
        sys.exit("error: Ray was not told before the machine went")
    leave(notice)


if __name__ == "__main__":
    main()
