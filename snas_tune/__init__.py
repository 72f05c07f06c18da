"""A Pareto front of small, accurate networks, found by SNAS searches under Ray Tune."""

__version__ = "0.1.0"
