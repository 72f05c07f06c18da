"""`ray up` for real: a laptop, a head and two workers, which die while a sweep runs on them.

`make cluster` runs this, and prints what it saw. The hosts are namespaces of this machine, see
cluster_hosts.py; their `ray_cluster.local.yaml` is the repository's, but for what says SET, and
for what a worker starts beside Ray in `ray_cluster.yaml`.
"""

from __future__ import annotations

import itertools
import json
import shlex
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_hosts import ADDRESSES, ROOT, Hosts, wait_for, why_not

from snas_tune.front import FrontFile

REASON = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(REASON), reason=REASON),
]

MACHINES = ("head", "w1", "w2")
TRIALS, EPOCHS = 8, 8
FILE = "/shared/cluster.yaml"
SWEEP = (
    f"--address auto --machines 3 --preset demo --epochs {EPOCHS} --sampling gdas --supernet plain "
    f"--rule fifo --searcher random --trials {TRIALS} --max-failures 3"
)
"""Plain, so that no machine's measurement decides by which sums a trial's numbers are rounded."""

NOTICE = 25
"""Seconds from a cloud's notice until the machine goes; Amazon gives 120, Google 30."""

UTC = "%Y-%m-%dT%H:%M:%SZ"


class Laptop:
    """What a user does: commands on the laptop, and looks into the shared folder."""

    def __init__(self, hosts: Hosts, show: Any) -> None:
        self.hosts = hosts
        self._show = show

    def say(self, line: str) -> None:
        """Print a figure, also where output is captured."""
        with self._show.global_and_fixture_disabled():
            print(f"\n{line}", end="", flush=True)

    def do(self, line: str, timeout: float = 300) -> str:
        """Run a command that must succeed; what it printed."""
        done = self.hosts.call("laptop", f"{SETTINGS}; {line}", timeout)
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def new_disks(self) -> None:
        """Replace the cluster's machines by new ones of the same addresses.

        Without ``ray down`` the laptop's notes say that the head is set up, and nothing would be
        installed there.
        """
        for host in MACHINES:
            self.hosts.power_off(host)
            self.hosts.wipe(host)
            self.hosts.boot(host)
        self.do(f"ray down -y {FILE}")

    def up(self) -> None:
        """Start the cluster, and say how long it takes until all of it is there."""
        start = time.monotonic()
        self.do(f"ray up -y --no-config-cache {FILE}")
        ready = time.monotonic() - start
        line = "from snas_tune.sweep.machines import wait_for_machines as w; import ray, sys;"
        line += "ray.init('auto', log_to_driver=False, logging_level='ERROR'); w(3, 120)"
        done = self.hosts.call("head", f'python -c "{line}"')
        why = "tail -n 60 /tmp/ray/session_latest/logs/monitor*"
        assert done.returncode == 0, done.stderr + self.hosts.call("head", why).stdout
        self.say(
            f"ray up: {ready:.0f} s; 3 machines: {time.monotonic() - start:.0f} s after its start"
        )

    def sweep(self, name: str, more: str = "") -> subprocess.Popen[str]:
        """Submit the sweep."""
        line = f"snas-tune sweep --storage-path /shared/sweeps --name {name} {SWEEP} {more}"
        return subprocess.Popen(
            self.hosts.command("laptop", f"{SETTINGS}; ray exec {FILE} '{line}'"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for_checkpoints(self, name: str, trials: int, epoch: int) -> None:
        """Until so many trials have one of that epoch."""
        pattern = f"sweeps/{name}/*/checkpoint_{epoch - 1:06d}"
        glob = self.hosts.shared.glob
        wait_for(lambda: len(list(glob(pattern))) >= trials, f"{name}: too few checkpoints")

    def wait_for_trials(self, name: str, host: str, first: int, last: int) -> None:
        """Until the last report of a trial is from a host, and of one of these epochs."""

        def found() -> bool:
            return any(
                reports[-1]["node_ip"] == ADDRESSES[host] and first <= reports[-1]["epoch"] <= last
                for reports in results(self, name).values()
            )

        wait_for(found, f"{name}: no such trial on {host}")

    def rows(self, name: str) -> list[str]:
        """The rows of the front file, but for where checkpoints lie; as text, as NaN equals NaN."""
        table = FrontFile(str(self.hosts.shared / "sweeps" / name / "front.parquet")).table
        rows = [{**row, "checkpoint": None} for row in table.to_pylist()]
        return sorted(repr(sorted(row.items())) for row in rows)


SETTINGS = "export RAY_UP_enable_autoscaler_v2=0 RAY_AUTH_MODE=token"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory, request) -> Iterator[Laptop]:
    base = tmp_path_factory.mktemp("hosts")
    hosts = Hosts(base)
    try:
        for name in ADDRESSES:
            hosts.boot(name)
        config = yaml.safe_load((ROOT / "ray_cluster.local.yaml").read_text())
        config["provider"] |= {
            "head_ip": ADDRESSES["head"],
            "worker_ips": [ADDRESSES["w1"], ADDRESSES["w2"]],
        }
        config["auth"]["ssh_user"] = "root"
        cloud = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
        config["worker_start_ray_commands"] = cloud["worker_start_ray_commands"]
        (hosts.shared / "cluster.yaml").write_text(yaml.safe_dump(config))
        user = Laptop(hosts, request.config.pluginmanager.getplugin("capturemanager"))
        user.do("ray get-auth-token --generate")
        yield user
    finally:
        hosts.close()
    assert hosts.left() == []
    assert str(base) not in Path("/proc/mounts").read_text()


@pytest.fixture(scope="module")
def cluster(laptop) -> Iterator[Laptop]:
    laptop.up()
    yield laptop
    said = laptop.do(f"ray down -y {FILE}")
    assert "0 nodes remaining" in said or "No nodes remaining" in said, said
    left = laptop.hosts.call("head", "pgrep -x 'raylet|gcs_server' | wc -l").stdout
    assert left.strip() == "0"


@pytest.fixture(scope="module")
def undisturbed(cluster) -> Laptop:
    start = time.monotonic()
    process = cluster.sweep("undisturbed")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    report(cluster, "undisturbed", time.monotonic() - start)
    return cluster


def results(laptop: Laptop, name: str) -> dict[str, list[dict[str, Any]]]:
    """What each trial reported, in the order in which it did."""
    found = {}
    for path in (laptop.hosts.shared / "sweeps" / name).glob("*/result.json"):
        whole, _, _ = path.read_text().rpartition("\n")  # the last line may be half there
        reports = [json.loads(line) for line in whole.splitlines()]
        if reports:
            found[path.parent.name] = reports
    return found


def processes(reports: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """A trial's reports by the process that made them; one more than its retries."""
    key = lambda report: (report["node_ip"], report["pid"])  # noqa: E731
    return [list(group) for _, group in itertools.groupby(reports, key)]


def report(laptop: Laptop, name: str, seconds: float) -> Counter[str]:
    """Print a sweep's figures; the number of trials that ended on each machine."""
    by_address = {address: host for host, address in ADDRESSES.items()}
    found = results(laptop, name)
    assert len(found) == TRIALS
    ended = Counter(by_address[reports[-1]["node_ip"]] for reports in found.values())
    retries = sum(len(processes(reports)) - 1 for reports in found.values())
    machines = ", ".join(f"{host} {ended[host]}" for host in MACHINES)
    laptop.say(f"{name}: {seconds:.0f} s, trials per machine: {machines}; retries: {retries}")
    return ended


def rescheduling(laptop: Laptop, name: str, host: str, death: float) -> list[float]:
    """Seconds from a machine's death to the epoch with which each of its trials went on."""
    waits = []
    for reports in results(laptop, name).values():
        for before, after in itertools.pairwise(processes(reports)):
            if before[-1]["node_ip"] == ADDRESSES[host] and after[0]["timestamp"] >= death:
                waits.append(after[0]["timestamp"] - after[0]["time_this_iter_s"] - death)
    return waits


def test_a_folder_that_is_not_shared_is_refused_before_any_trial(cluster):
    sweep = "snas-tune sweep --address auto --machines 3 --storage-path private"
    done = cluster.hosts.call("laptop", f"{SETTINGS}; ray exec {FILE} '{sweep}'")
    assert done.returncode != 0, done
    said = done.stdout + done.stderr
    (line,) = [line for line in said.splitlines() if line.startswith("error:")] or [said]
    assert "storage path must be one that every machine shares, such as s3://bucket/sweeps" in line
    assert "private, which machine 10.77.0.11 does not (what the driver wrote is not there)" in line
    assert "Traceback" not in said


def test_trials_spread_over_all_machines(undisturbed):
    found = results(undisturbed, "undisturbed")
    started = {reports[0]["node_ip"] for reports in found.values()}
    assert started == {ADDRESSES[host] for host in MACHINES}
    assert all(len(processes(reports)) == 1 for reports in found.values())
    assert len(undisturbed.rows("undisturbed")) == TRIALS * EPOCHS


def test_a_job_outlives_the_connection_that_submitted_it(undisturbed):
    """Through the dashboard, from the laptop, with a working directory that travels with it."""
    forward = subprocess.Popen(
        undisturbed.hosts.command("laptop", f"{SETTINGS}; ray dashboard {FILE}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        undisturbed.do(
            "timeout 60 bash -c 'until ss -Hltn sport = :8265 | grep -q .; do sleep 0.2; done'"
        )
        job = "ray job submit --address http://127.0.0.1:8265 --no-wait --submission-id first"
        sweep = SWEEP.replace(f"--trials {TRIALS}", "--trials 2")
        sweep = sweep.replace(f"--epochs {EPOCHS}", "--epochs 1")
        undisturbed.do(
            f"{job} --working-dir . -- snas-tune sweep --storage-path /shared/sweeps "
            f"--data-root /tmp/data --name job {sweep}"
        )
    finally:
        forward.terminate()
        forward.wait(timeout=20)
    end = time.monotonic() + 120
    status = ""
    while "succeeded" not in status:
        assert time.monotonic() < end, status
        assert "failed" not in status, status
        time.sleep(1)
        command = "RAY_AUTH_MODE=token ray job status --address http://127.0.0.1:8265 first"
        done = undisturbed.hosts.call("head", command)
        status = (done.stdout + done.stderr).lower()
    assert len(undisturbed.rows("job")) == 2


def test_a_sweep_survives_the_death_of_one_worker_and_then_of_the_other(undisturbed):
    start = time.monotonic()
    process = undisturbed.sweep("disturbed")
    hosts = undisturbed.hosts
    undisturbed.wait_for_checkpoints("disturbed", 6, 2)
    killed = hosts.call("w1", "pkill -KILL -x raylet")
    first = time.time()
    assert killed.returncode == 0
    # Whose trials may all be at their end or have just begun, or wait for those of w1.
    wait_for(lambda: rescheduling(undisturbed, "disturbed", "w1", first), "no trial of w1 went on")
    undisturbed.wait_for_trials("disturbed", "w2", 1, EPOCHS // 2)
    hosts.cut_off("w2")
    second = time.time()
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said
    report(undisturbed, "disturbed", time.monotonic() - start)
    for host, death, how in (("w1", first, "SIGKILL of the raylet"), ("w2", second, "link down")):
        waits = rescheduling(undisturbed, "disturbed", host, death)
        assert waits, f"no trial of {host} was retried"
        listed = ", ".join(f"{wait:.1f}" for wait in sorted(waits))
        undisturbed.say(f"{host}, {how}: its trials went on after {listed} s")
    assert undisturbed.rows("disturbed") == undisturbed.rows("undisturbed")


def test_a_sweep_goes_on_in_a_new_cluster_after_the_head_died(undisturbed):
    hosts = undisturbed.hosts
    undisturbed.new_disks()  # as a test before this one cut them off
    undisturbed.up()
    process = undisturbed.sweep("headless")
    undisturbed.wait_for_checkpoints("headless", 6, 3)
    for host in MACHINES:
        hosts.power_off(host)
    process.kill()
    process.communicate()
    before = undisturbed.rows("headless")
    start = time.monotonic()
    undisturbed.new_disks()
    undisturbed.up()
    process = undisturbed.sweep("headless", "--resume")
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    after = undisturbed.rows("headless")
    kept = len(set(before) & set(after))
    undisturbed.say(
        f"head died with {len(before)} of {TRIALS * EPOCHS} children; new cluster and the rest: "
        f"{time.monotonic() - start:.0f} s"
    )
    assert kept == len(before) > 0
    assert after == undisturbed.rows("undisturbed")


def test_trials_save_themselves_when_the_cloud_gives_notice(cluster):
    """They checkpoint at their end alone otherwise, and have no failure to spare."""
    hosts = cluster.hosts
    trials, epochs = 4, 40  # so long that none is at its end when the notice is over
    process = cluster.sweep(
        "warned",
        f"--trials {trials} --epochs {epochs} --checkpoint-every 1000 --max-failures 0",
    )
    cluster.wait_for_trials("warned", "w2", 1, 3)
    death = time.time() + NOTICE
    text = json.dumps({"action": "terminate", "time": time.strftime(UTC, time.gmtime(death))})
    hosts.call("w2", f"echo {shlex.quote(text)} > /run/notice")
    time.sleep(death - time.time())
    log = hosts.call("w2", "cat /tmp/snas_tune_notice.log").stdout
    hosts.power_off("w2")
    said, _ = process.communicate(timeout=400)
    hosts.boot("w2")  # so that it can be told to stop
    assert process.returncode == 0, said
    assert "Ray knows" in log, log
    assert "Ray is stopped here" in log, log
    moved = [runs for runs in map(processes, results(cluster, "warned").values()) if len(runs) > 1]
    assert moved, "no trial was on w2"
    for first, second in moved:
        assert first[-1]["node_ip"] == ADDRESSES["w2"]
        assert 1 < second[0]["epoch"] <= first[-1]["epoch"] + 1  # not from its beginning
    waits = ", ".join(
        f"{wait:.1f}" for wait in sorted(rescheduling(cluster, "warned", "w2", death))
    )
    cluster.say(f"w2, taken away {NOTICE} s after notice: its trials went on after {waits} s")
    assert len(cluster.rows("warned")) == trials * epochs
