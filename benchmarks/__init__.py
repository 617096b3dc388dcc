"""The programs behind the figures of docs/benchmarks.md, each run as ``python -m benchmarks.ROOM.NAME``."""
