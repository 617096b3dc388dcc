"""The plugin from Python and notebooks: one :class:`Desk` over a home, answers as pandas frames (docs/api.md).

desk = Desk("HOME")
desk.load(["reports"])
desk.fit()
desk.analyses().query("anomalous")
"""

from cuckoo_ml_plugin.frames.desk import Desk

__all__ = ["Desk"]
