"""The panel in a host's HTML report, put in after the host has written it, because the templates are the host's.

The panel goes behind a tag that is known; without one it goes to the end. It replaces a panel that is there already.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.plumbing.files import replace_file
from cuckoo_ml_plugin.web.site import static_panel

BEGIN: Final = "<!-- cuckoo-ml: begin -->"
END: Final = "<!-- cuckoo-ml: end -->"
MAX_SIZE: Final = 256 * 2**20  # bytes; a larger report is left as it is
# The panel goes behind the first of these tags that the report has: CAPE's first tab, Cuckoo's header.
_PLACES: Final = (re.compile(r'<div[^<>]*\bid="info"[^<>]*>'), re.compile(r"</header>"))
_OURS: Final = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)


def put_into(path: Path, section: object) -> bool:
    """Put the panel of a section into an HTML report, in one rename; False where there is no report or no panel.

    Raises OSError when the report cannot be read or written.
    """
    if not path.is_file() or path.stat().st_size > MAX_SIZE:
        return False
    html = path.read_text(encoding="utf-8", errors="surrogateescape")
    panel = static_panel(section, dark='data-bs-theme="dark"' in html[:1000])
    if not panel:
        return False
    replace_file(path, _with_panel(html, panel).encode("utf-8", "surrogateescape"))
    return True


def _with_panel(html: str, panel: str) -> str:
    ours = f"{BEGIN}{panel}{END}"
    if _OURS.search(html):
        return _OURS.sub(lambda _: ours, html, count=1)
    body = max(html.find("<body"), 0)
    for place in _PLACES:
        if tag := place.search(html, body):
            return html[: tag.end()] + ours + html[tag.end() :]
    end = html.rfind("</body>")
    return html[:end] + ours + html[end:] if end >= 0 else html + ours
