"""The reader of a page, where CAPE serves several tenants."""

from __future__ import annotations

from cuckoo_ml_plugin.hosts.cape.access import visible_to_user
from cuckoo_ml_plugin.web.request import Reader


def reader_of(user: object) -> Reader | None:
    """The reader that a user of CAPE's is; None for one who may see everything. Never raises."""
    visible = visible_to_user(user)
    return None if visible is None else Reader(f"user {getattr(user, 'pk', None)}", visible)
