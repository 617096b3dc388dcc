"""The panel and the pages for the hosts' web interfaces: HTML without script.

Comes in: the section of a report, or a page's path and query, and the home with its store and model. Goes out: HTML
that the hosts put into their own pages; the hosts decide who may see it. Anything that a page shows may be an
attacker's, so each value passes through :func:`format.shown`, and jinja2 escapes it. ``site`` is the door, ``pages``
draws our own pages, ``panel`` the panel, ``static_report`` puts the panel into an HTML report. May import ``engine``
and the rooms below it, never what only fitting needs.
"""
