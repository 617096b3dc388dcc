"""What may go wrong, done on purpose and counted: `python -m benchmarks.faults` runs it and prints a table.

Comes in: a home with the demo's corpus, made for the run. Goes out: for each kind of fault how often it was tried, and
how many analyses were lost, answers wrong, waits over the limit, and how much a process grew. Each kind is a module
with one function from a :class:`~benchmarks.faults.tally.Budget` to a :class:`~benchmarks.faults.tally.Tally`.
docs/reliability.md has the figures.
"""
