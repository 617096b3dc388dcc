"""The installation side: what ``cuckoo-ml install``, ``uninstall`` and ``doctor`` do in a host's folders.

Comes in: a host's folder and the home. Goes out: files of ours, marked blocks in files of the host's, and
``install.json`` in the home, which says what to take away again. ``cape`` and ``cuckoo2`` list the pieces of each
host, ``installer`` puts pieces in place, ``schedule`` makes the timer for refits, ``doctor`` examines the result.
Nothing in a host's process imports this package.
"""
