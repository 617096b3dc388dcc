"""Sample analyses for trying the plugin out: invented families in the formats of both hosts.

`generate` writes a corpus; `perturb` multiplies behaviours for benchmarks. No value here comes from a real report.
"""

from .corpus import Analysis, DemoCorpus, generate
from .perturb import perturb

__all__ = ["Analysis", "DemoCorpus", "generate", "perturb"]
