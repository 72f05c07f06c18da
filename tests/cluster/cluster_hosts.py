"""Machines on this one: namespaces with a network address, a disk and an sshd each.

No packet leaves: the hosts' network is a bridge in a namespace of its own, without a way out.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HOME = "/home/node"
TOOLS = ("ip", "ss", "unshare", "nsenter", "sshd", "ssh", "ssh-keygen", "rsync")
ADDRESSES = {"laptop": "10.77.0.1", "head": "10.77.0.10", "w1": "10.77.0.11", "w2": "10.77.0.12"}
SWITCH = "10.77.0.254"

BASHRC = f"""\
export PATH={HOME}/venv/bin:$PATH
export RAY_USAGE_STATS_ENABLED=0
# There is no way to a package index from here, and all that is pinned is installed.
export PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=false PIP_DISABLE_PIP_VERSION_CHECK=1
"""

SSHD = """\
ListenAddress {address}
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
MaxStartups 50:30:100
"""


def run(*command: str, **options: object) -> str:
    """A command's standard output; its standard error is in what is raised if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def wait_for(found: Callable[[], object], failure: str) -> None:
    """Wait until it finds something, for three minutes at most."""
    end = time.monotonic() + 180
    while not found():
        assert time.monotonic() < end, f"{failure} within three minutes"
        time.sleep(0.2)


def why_not() -> str:
    """Why there can be no such machines here; empty if there can."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} must be installed (openssh-server, rsync, iproute2)"
    probe = f"snas-probe-{os.getpid()}"
    try:
        run("ip", "netns", "add", probe)
        run("ip", "netns", "del", probe)
        run(
            "unshare",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "mount",
            "-t",
            "tmpfs",
            "x",
            "/mnt",
        )
    except RuntimeError as error:
        return f"namespaces are not permitted: {str(error).splitlines()[0]}"
    return ""


class Hosts:
    """A laptop, a head and two workers, switched off, and a folder that all of them share.

    Args:
        base: an empty folder for their disks.
    """

    def __init__(self, base: Path) -> None:
        self.base = base
        self.shared = base / "shared"
        self.shared.mkdir()
        self._prefix = f"snas{os.getpid()}"
        self._boots: dict[str, subprocess.Popen[bytes]] = {}
        self._key = base / "key"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key))
        switch = self._space("switch")
        run("ip", "netns", "add", switch)
        run("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", switch, "addr", "add", f"{SWITCH}/24", "dev", "br0")
        run("ip", "-n", switch, "link", "set", "br0", "up")

    def _space(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def boot(self, name: str) -> None:
        """Switch a host on; the first time, with a new disk."""
        self._connect(name)
        disk = self.base / name
        if not disk.exists():
            self._format(name, disk)
        network = f"--net=/run/netns/{self._space(name)}"
        command = [
            "nsenter",
            network,
            "unshare",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "bash",
            str(HERE / "host_init.sh"),
            str(disk),
            name,
            str(self.shared),
            sys.prefix,
            str(HERE.parent / "metadata.py"),
        ]
        with (disk / "console.log").open("ab") as console:
            self._boots[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        self._wait_for_sshd(name)

    def _connect(self, name: str) -> None:
        space, switch = self._space(name), self._space("switch")
        if Path(f"/run/netns/{space}").exists():
            self.link(name, up=True)
            return
        run("ip", "netns", "add", space)
        run(
            "ip",
            "-n",
            space,
            "link",
            "add",
            "eth0",
            "type",
            "veth",
            "peer",
            "name",
            name,
            "netns",
            switch,
        )
        run("ip", "-n", switch, "link", "set", name, "master", "br0", "up")
        run("ip", "-n", space, "link", "set", "lo", "up")
        run("ip", "-n", space, "addr", "add", f"{ADDRESSES[name]}/24", "dev", "eth0")
        run("ip", "-n", space, "link", "set", "eth0", "up")
        # As a real machine has one. Ray finds its own address by it; nothing is forwarded.
        run("ip", "-n", space, "route", "add", "default", "via", SWITCH)

    def _format(self, name: str, disk: Path) -> None:
        for folder in ("upper/etc/ssh", f"upper{HOME}/.ssh", "work", "root", "venv", "venv-work"):
            (disk / folder).mkdir(parents=True)
        etc, home = disk / "upper" / "etc", disk / f"upper{HOME}"
        lines = [f"{address} {host}" for host, address in ADDRESSES.items()]
        (etc / "hosts").write_text("\n".join(["127.0.0.1 localhost", *lines, ""]))
        (etc / "resolv.conf").write_text("")
        users = Path("/etc/passwd").read_text().splitlines()
        root = f"root:x:0:0:root:{HOME}:/bin/bash"
        others = [line for line in users if not line.startswith("root:")]
        (etc / "passwd").write_text("\n".join([root, *others, ""]))
        (etc / "ssh" / "sshd_config").write_text(SSHD.format(address=ADDRESSES[name]))
        run(
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            str(etc / "ssh" / "ssh_host_ed25519_key"),
        )
        (home / ".ssh").chmod(0o700)
        shutil.copy(self._key.with_suffix(".pub"), home / ".ssh" / "authorized_keys")
        shutil.copy(self._key, home / ".ssh" / "id_ed25519")  # for the laptop
        (home / ".bashrc").write_text(BASHRC)
        (home / ".bash_profile").write_text(". ~/.bashrc\n")

    def _wait_for_sshd(self, name: str) -> None:
        end = time.monotonic() + 20
        while not run("ip", "netns", "exec", self._space(name), "ss", "-Hltn", "sport = :22"):
            if self._boots[name].poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.base / name / "console.log").read_text())
            time.sleep(0.05)

    def first_process(self, name: str) -> int:
        """This machine's number of the host's process 1."""
        launcher = self._boots[name].pid
        return int(Path(f"/proc/{launcher}/task/{launcher}/children").read_text())

    def command(self, name: str, line: str) -> list[str]:
        """What runs a line of bash on a host, as its console does."""
        target = str(self.first_process(name))
        inside = ["nsenter", "-t", target, "-m", "-u", "-i", "-n", "-p", "-r", "-w"]
        clean = [
            "env",
            "-i",
            f"HOME={HOME}",
            "USER=root",
            "TERM=dumb",
            "LANG=C.UTF-8",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ]
        return [*inside, *clean, "bash", "-lc", f"cd {ROOT}; {line}"]

    def call(self, name: str, line: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a line of bash on a host and return how it ended."""
        return subprocess.run(
            self.command(name, line), capture_output=True, text=True, timeout=timeout, check=False
        )

    def link(self, name: str, *, up: bool) -> None:
        """Plug a host's cable in or out."""
        state = "up" if up else "down"
        run("ip", "-n", self._space("switch"), "link", "set", name, state)

    def cut_off(self, name: str) -> None:
        """Plug a host's cable out; the shared folder is then out of its reach, too."""
        self.link(name, up=False)
        done = self.call(name, "umount -l /shared")
        if done.returncode:
            raise RuntimeError(done.stderr)

    def power_off(self, name: str) -> None:
        """End all of a host's processes at once; its peers are not told. Nothing if it is off."""
        if name not in self._boots:
            return
        self.link(name, up=False)
        launcher = self._boots.pop(name)
        with contextlib.suppress(ProcessLookupError, ValueError):
            children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
            os.kill(int(children), signal.SIGKILL)
        launcher.wait(timeout=20)

    def wipe(self, name: str) -> None:
        """Give a host that is off a new disk."""
        shutil.rmtree(self.base / name)

    def close(self) -> None:
        """Switch all hosts off and take them away, but for the shared folder."""
        for name in list(self._boots):
            self.power_off(name)
        for space in self.left():
            run("ip", "netns", "del", space)
        for name in ADDRESSES:
            shutil.rmtree(self.base / name, ignore_errors=True)

    def left(self) -> list[str]:
        """The namespaces of these hosts that are there."""
        names = [line.split()[0] for line in run("ip", "netns", "list").splitlines() if line]
        return [name for name in names if name.startswith(f"{self._prefix}-")]
