"""The console command ``snas-tune``: sweep, take, latency, log, settings.

Each command is a dataclass, of which tyro makes the flags and the help; ``run`` does the work and
returns the exit status. Torch and Ray are imported inside ``run``, so that help is shown at once.

Modules: ``app`` (the entry point), ``usage`` (a line of words to a command, errors to one line),
``flags`` (dataclasses whose flags are the settings of others), ``recipe`` (presets, sweep files and
``--set``, merged), ``presets``, and one for each command.
"""
