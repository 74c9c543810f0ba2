"""Processes: what runs, and the only place where things are wired together."""
