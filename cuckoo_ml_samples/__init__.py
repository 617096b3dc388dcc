"""Sample analyses for trying the plugin out: invented malware families in the report formats of both hosts.

`generate` takes a folder, a number of analyses and a seed. It writes a corpus of reports together with the truth about
them, and returns a `DemoCorpus`. `perturb` takes one behaviour and returns another like it, for benchmarks that need
more behaviours than a corpus has. No value comes from a real report: families, names and addresses are invented, and
names and addresses are reserved for documentation (RFC 2606, RFC 5737).

The package imports nothing of `cuckoo_ml_plugin`; there, only the demo command imports it. Its rooms: `report_formats`
renders what `corpus` plans and `execute` runs; `malware` describes the families.
"""

from cuckoo_ml_samples.corpus import Analysis, DemoCorpus, generate
from cuckoo_ml_samples.perturb import perturb

__all__ = ["Analysis", "DemoCorpus", "generate", "perturb"]
