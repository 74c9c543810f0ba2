"""Processes: what runs, and the only place where things are wired together."""

from workers.within import running

__all__ = ["running"]
