"""What a user may see where CAPE serves several tenants; in doubt nothing."""

from __future__ import annotations

from typing import Any


def sees_everything(user: object) -> bool:
    """Whether a user may see every tenant's analyses."""
    tenancy = _tenancy()
    return tenancy is None or bool(tenancy.viewer_for(user).is_local_admin)


def visible_section(section: Any, user: object) -> Any:
    """A section without the similar analyses that a user may not see; unchanged where there is one tenant."""
    tenancy = _tenancy()
    if tenancy is None or not isinstance(section, dict):
        return section
    from lib.cuckoo.core.database import Database

    def visible(similar: Any) -> bool:
        try:
            task = Database().view_task(int(similar["analysis"]))
        except (TypeError, ValueError, KeyError):
            return False  # it was imported, so its tenant is unknown
        return task is not None and bool(tenancy.can_view_task(user, task))

    return {**section, "similar": [similar for similar in section.get("similar") or [] if visible(similar)]}


def _tenancy() -> Any:
    """CAPE's module of tenancy rules; None where there is one tenant or CAPE has no such module."""
    try:
        from web import tenancy_optional  # type: ignore[attr-defined]
    except ImportError:
        return None
    return tenancy_optional if tenancy_optional.multitenancy_config().enabled else None
