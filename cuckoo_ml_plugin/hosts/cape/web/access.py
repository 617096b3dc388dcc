"""What a user of CAPE may see, where it serves several tenants. In doubt: nothing."""

from __future__ import annotations

from typing import Any


def sees_everything(user: object) -> bool:
    """Whether a user may see every tenant's analyses."""
    tenancy = _tenancy()
    return tenancy is None or bool(tenancy.viewer_for(user).is_local_admin)


def visible_section(section: Any, user: object) -> Any:
    """A section without the similar analyses that a user may not see; as it is where there is one tenant."""
    tenancy = _tenancy()
    if tenancy is None or not isinstance(section, dict):
        return section
    from lib.cuckoo.core.database import Database

    def visible(one: Any) -> bool:
        try:
            task = Database().view_task(int(one["analysis"]))
        except (TypeError, ValueError, KeyError):
            return False  # imported from elsewhere: nobody knows whose it is
        return task is not None and bool(tenancy.can_view_task(user, task))

    return {**section, "similar": [one for one in section.get("similar") or [] if visible(one)]}


def _tenancy() -> Any:
    """CAPE's rules; None where there is one tenant, or in a CAPE that knows no others."""
    try:
        from web import tenancy_optional
    except ImportError:
        return None
    return tenancy_optional if tenancy_optional.multitenancy_config().enabled else None
