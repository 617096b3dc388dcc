"""Inside the sandboxes: what runs in, or for, a host's processing, reporting and web interface.

Comes in: a host's results (a dictionary in CAPE, a request from Python 2.7 in Cuckoo), a page's address.
Goes out: the section ``cuckooml`` in the results, the panel and the pages, an installation in a host's folders.

``enrich`` does the work for one analysis, ``worker`` does it for Cuckoo's Python 2.7, ``cape`` and ``cuckoo2`` hold
what runs inside each host, and ``installation`` puts it there. Everything that runs for an analysis or draws a page
stays light: it never imports what only fitting needs. May import every room below: ``web``, ``engine`` and down.
"""
