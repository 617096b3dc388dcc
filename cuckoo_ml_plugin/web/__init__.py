"""The panel and the pages for the hosts' web interfaces: HTML without script, made from the section and the store.

Everything that a page shows may be an attacker's: each value passes through :func:`text.shown`, and jinja2 escapes it.
The hosts put the HTML into their own pages and decide who may see it.
"""
