"""The parts of the store that last from one refit to the next: births, and how unusual the analyses since a fit are.

Comes in: what ``engine/births.py`` and ``engine/recalibration.py`` found of an analysis. Goes out: new groups,
and what a day's reference is made of. Imports the tables, the database, and the parts that hold behashes and labels.
"""
