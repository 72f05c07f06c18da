"""The report: what a sweep writes for TensorBoard. Knows neither ray nor torch."""

from snas_tune.tensorboard_log.sweep_log import SweepLog

__all__ = ["SweepLog"]
