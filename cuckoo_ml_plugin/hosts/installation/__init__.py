"""The installation side: what ``cuckoo-ml install``, ``uninstall`` and ``doctor`` do in a host's folders.

Comes in: a host's folder and the home. Goes out: files of ours, marked blocks in files of the host's, and ``notes``
beside the home, which say what was there. ``cape`` and ``cuckoo2`` list the pieces of each host, ``installer`` puts
pieces in place through ``host_files``, ``home_place`` makes the home, ``moving`` moves it while it is used, ``sharing``
knows who else uses Cuckoo's package, ``schedule`` makes the timer for refits, ``doctor`` examines the result.
Nothing in a host's process imports this package.
"""
