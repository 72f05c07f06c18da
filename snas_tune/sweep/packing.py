"""How many trials fit on the machines that are alive: one line, before the sweep starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snas_tune.search.footprint import Footprint
from snas_tune.sweep.machines import ROUNDING, Answer, Machine

GIB = 2**30


def packing_line(
    need: Footprint,
    machines: Sequence[Machine],
    answers: Mapping[str, Answer],
    cpus: float,
    gpus: float,
) -> str:
    """What a trial takes and how many fit; and what to do if memory holds fewer than Ray starts.

    Args:
        need: the estimate.
        machines: all that are alive.
        answers: of :func:`snas_tune.sweep.machines.check_machines`; none on one machine.
        cpus: of a trial.
        gpus: of a trial.
    """
    slots = sum(machine.slots(cpus, gpus) for machine in machines)
    where = "this machine" if len(machines) == 1 else f"{len(machines)} machines"
    if gpus:
        return _gpu_line(need.on_gpu, answers, gpus, f"{slots} at a time on {where} now")
    fit = sum(int(machine.memory // need.on_cpu) for machine in machines)
    line = (
        f"memory: about {need.on_cpu / GIB:.2f} GiB a trial; {min(slots, fit)} fit on {where} "
        f"({slots} by {cpus:g} CPUs each, {fit} by memory)"
    )
    if fit < slots:
        line += f": give --concurrent {max(1, fit)}, or trials may be killed"
    return line


def _gpu_line(need: int, answers: Mapping[str, Answer], gpus: float, ending: str) -> str:
    sharing = int((1 + ROUNDING) // gpus) if gpus < 1 else 1
    line = (
        f"memory: about {need / GIB:.2f} GiB of a GPU a trial; {sharing} on a GPU take "
        f"{sharing * need / GIB:.2f}"
    )
    known = [answer.gpu_memory for answer in answers.values() if answer.gpu_memory]
    if known:
        fit = min(known) // need
        line += f" of {min(known) / GIB:.1f} GiB, where {fit} fit"
        if fit < sharing:
            advice = f"give --gpus-per-trial {1 / fit:.3g}" if fit else "make the search smaller"
            return f"{line}: {advice}, or trials will run out of memory"
    return f"{line}; {ending}"
