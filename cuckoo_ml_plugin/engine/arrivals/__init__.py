"""An analysis that a host has finished: what is kept of it, and where it waits while the store does not answer.

An arrival comes in, with its behaviour and identity. Its record, its finding and what follows from them go into the
store, or the arrival goes into the spool, a folder in the home, from which the next process that reaches the store
takes it. This room may import ``engine``, ``model``, ``store`` and the rooms below them.
"""
