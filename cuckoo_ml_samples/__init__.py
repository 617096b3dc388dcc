"""Sample analyses for trying the plugin out: invented families in the formats of both hosts.

`generate` writes a corpus; `perturb` multiplies behaviours for benchmarks. No value here comes from a real report.
"""

from cuckoo_ml_samples.corpus import Analysis, DemoCorpus, generate
from cuckoo_ml_samples.perturb import perturb

__all__ = ["Analysis", "DemoCorpus", "generate", "perturb"]
