"""Ray itself: started on this machine or joined without noise, and whether it can run a trial."""

from __future__ import annotations

import atexit
import logging
import os
import re
import secrets
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import optuna
import ray

from snas_tune.arguments import checked
from snas_tune.checks import COUNT, at_most
from snas_tune.files import first_line
from snas_tune.sweep.settings import MOST_CORES
from snas_tune.sweep.watch import SweepLost
from snas_tune.text_checks import ADDRESS

PERIOD = "TUNE_GLOBAL_CHECKPOINT_S"
"""The variable by which Tune knows how often it saves the state of its trials, in seconds."""

_periods: set[str] = set()
"""Those that were chosen here, and not by the user."""

NOISY = ("ray.tune", "ray.train", "ray.air")
"""Loggers whose tracebacks would drown the one line that says why a trial failed."""

OF_A_SOCKET = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""As long as what Ray puts behind its folder to name a socket."""

PLACES = ("/tmp", "/var/tmp", "/dev/shm")
"""Where Ray's folder may be if the usual place will not do."""


@checked
def quiet_ray(
    *,
    address: Annotated[str | None, ADDRESS] = None,
    cpus: Annotated[int | None, COUNT, at_most(MOST_CORES)] = None,
) -> None:
    """Start Ray on this machine, or join a cluster, if this process has not yet.

    Args:
        address: of a running cluster, such as ``auto``; a new local one if not given.
        cpus: cores that a local one may use; all of them if not given.

    Raises:
        ValueError: there is no cluster at the address, or Ray cannot write here.
        SweepLost: Ray did not start for another reason.
    """
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # our own lines show progress
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    save_states_of(1)
    if joined(address):
        # Tune lets one trial wait at a time, so a cluster would grow by a machine at a time. The
        # searcher bounds how many there are.
        os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", "256")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not ray.is_initialized():
        _check_reachable(address or os.environ.get("RAY_ADDRESS") or "")
        options: dict[str, Any] = {"address": address}
        if not joined(address):  # without an address Ray joins whatever ran here last
            options = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
            options["_temp_dir"] = ray_folder()
            _own_token()
            # The head of this Ray does not come back: what waits for it ends after this time.
            os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "30")
        try:
            with _without_hangup():
                ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
        except Exception as error:  # Ray raises plain ones, too
            raise _not_started(address, options, error) from error
        if threading.current_thread() is not threading.main_thread():
            # Else Ray ends its head first at exit, and waits for its answer until it gives up.
            atexit.register(ray.shutdown)
        _leave_out_raylet_s_log()
    for name in NOISY:  # after init, which sets up Ray's loggers
        logging.getLogger(name).setLevel(logging.CRITICAL)


@contextmanager
def _without_hangup() -> Iterator[None]:
    """Inside, processes begin that the end of the terminal does not end, and this one waits.

    Ray does so for Ctrl-C. Without, a driver that saves what has finished would lose Ray meanwhile.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_out_raylet_s_log() -> None:
    """Have Ray print no twenty lines of a log when its node process dies: the watch says that."""
    worker = ray._private.worker
    whole = getattr(worker, "print_to_stdstream", None)
    if whole is None or hasattr(whole, "__wrapped__"):
        return

    @wraps(whole)
    def shown(data: Mapping[str, Any], *args: Any, **kwargs: Any) -> None:
        if not str(data.get("lines", [""])[0]).startswith("Raylet is terminated"):
            whole(data, *args, **kwargs)

    worker.print_to_stdstream = shown


def ray_folder() -> str | None:
    """The folder for what a Ray on this machine writes; None if its usual one will do.

    The names of its sockets lie below, and the system takes no long ones.

    Raises:
        ValueError: no folder will do.
    """
    limit = 107 if sys.platform == "linux" else 103
    room = limit - len(OF_A_SOCKET)
    usual = _usual_folder()
    if _takes(usual, room):
        return None
    for folder in (f"{place}/ray-{os.getuid()}" for place in PLACES):
        if _takes(folder, room):
            return folder
    raise ValueError(
        f"RAY_TMPDIR must be a folder that can be written and has at most {room - len('/ray')} "
        f"bytes in its path, got {usual.removesuffix('/ray')}"
    )


def _own_token() -> None:
    """Give Ray the word by which its processes know each other, if HOME cannot keep one."""
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
    if any(name in os.environ for name in names):
        return
    try:
        folder = Path.home() / ".ray"
        if not (folder / "auth_token").exists() and not _takes(str(folder), sys.maxsize):
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    except (OSError, RuntimeError):  # no home, or one that cannot be looked into
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _usual_folder() -> str:
    """Where Ray writes if it is not told."""
    return f"{os.environ.get('RAY_TMPDIR') or os.environ.get('TMPDIR') or '/tmp'}/ray"


def _takes(folder: str, room: int) -> bool:
    """Whether a folder can be written, and its path has at most ``room`` bytes."""
    if len(os.fsencode(folder)) > room or not folder.startswith("/"):
        return False
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def save_states_of(trials: int) -> None:
    """Choose how often Tune saves a sweep's state, unless the user did: so much a kill repeats.

    A save writes all trials, so its cost grows with them. From 50 trials on the period grows as
    well, to a minute at the most, and the saves take the same share of the driver's time.
    """
    if os.environ.get(PERIOD) in (None, *_periods):
        os.environ[PERIOD] = str(min(60, max(5, trials // 10)))
        _periods.add(os.environ[PERIOD])


def _check_reachable(address: str) -> None:
    """Ask for a connection first: Ray itself would try for minutes."""
    match = re.fullmatch(r"(?:ray://)?([^:/]+):(\d+)", address)
    if match:
        try:
            socket.create_connection((match[1], int(match[2])), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise _no_cluster(address, error) from error


def _not_started(
    address: str | None, options: Mapping[str, Any], error: Exception
) -> ValueError | SweepLost:
    if joined(address):
        return _no_cluster(address, error)
    if isinstance(error, OSError):
        folder = options["_temp_dir"] or _usual_folder()
        return ValueError(
            f"RAY_TMPDIR and HOME must be folders in which Ray can start, got {folder} and "
            f"{os.environ.get('HOME')} ({first_line(error)})"
        )
    return SweepLost(f"Ray did not start ({first_line(error)}); try the same command again")


def _no_cluster(address: str | None, error: BaseException) -> ValueError:
    return ValueError(
        f"address must be that of a running Ray cluster, got {address!r} ({first_line(error)})"
    )


def check_resources(
    cpus_per_trial: float, gpus_per_trial: float, address: str | None = None
) -> None:
    """Refuse a trial that this machine's Ray, which must be running, would let wait for ever.

    A cluster may grow, so nothing is refused there.

    Args:
        cpus_per_trial: cores.
        gpus_per_trial: GPUs.
        address: of a cluster.

    Raises:
        ValueError: the machine has less.
    """
    if joined(address):
        return
    has = ray.cluster_resources()
    for name, wanted in (("CPU", cpus_per_trial), ("GPU", gpus_per_trial)):
        most = has.get(name, 0)
        if wanted > most:
            raise ValueError(
                f"{name.lower()}s_per_trial must be at most the {most:g} {name}s of this machine, "
                f"got {wanted:g}"
            )


def joined(address: str | None) -> bool:
    """Whether Ray is a cluster that was there before: it may have other machines and grow."""
    return bool(address or os.environ.get("RAY_ADDRESS"))
