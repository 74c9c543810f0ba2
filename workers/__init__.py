"""Processes: what runs, and the only place where things are wired together."""

from workers.bus import EventBus
from workers.event import Event
from workers.within import running

__all__ = ["Event", "EventBus", "running"]
