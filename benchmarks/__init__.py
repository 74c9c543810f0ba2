"""Benchmarks: each figure is measured side by side with its floor, on servers of its own, in one run."""
