"""The programs behind the figures of docs/benchmarks.md, each run by ``python -m benchmarks.ROOM.NAME``."""
