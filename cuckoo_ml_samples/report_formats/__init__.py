"""Reports of a run in the formats of the hosts: `cuckoo2` for Cuckoo 2.0.7, `cape` for CAPEv2 2.4 and 2.2.

Comes in: a `Run` and a task id. Goes out: a report as dictionaries and lists, ready to be written as JSON. The same run
gives the same behaviour in every format; the values that only a host adds are random, with a seed made from the task id
and the file. `threat_exchange` makes the section in which CAPE reports what a threat exchange knows.

Imports `cuckoo_ml_samples.run` and the tables in `cuckoo_ml_samples.malware`.
"""
