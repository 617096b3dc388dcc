"""Cuckoo 2.0.7: what is installed into it. The modules beside this file are Python 2.7: only Cuckoo imports them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from cuckoo_ml_plugin.errors import SettingsError

_FILES: Final = {
    "client.py": "common/cuckooml.py",
    "processing_cuckooml.py": "processing/cuckooml.py",
    "reporting_cuckooml.py": "reporting/cuckooml.py",
    **{
        f"web/{name}": f"web/cuckooml/{name}"
        for name in (
            "__init__.py",
            "settings.py",
            "urls.py",
            "views.py",
            "templatetags/__init__.py",
            "templatetags/cuckooml.py",
            "templates/cuckooml/page.html",
            "templates/analysis/pages/summary/_archive.html",
            "templates/analysis/pages/summary/_file.html",
            "templates/analysis/pages/summary/_url.html",
        )
    },
}
WEB_SETTINGS_FILE: Final = Path("web") / "local_settings.py"
WEB_SETTINGS: Final = """\
try:
    from cuckoo.web.cuckooml.settings import install as install_cuckooml

    install_cuckooml(globals())
except Exception as error:  # the web interface starts without us
    import logging

    logging.getLogger("cuckooml").error("cuckoo-ml-plugin is not in the web interface: %s", error)
"""
"""What belongs at the end of ``WEB_SETTINGS_FILE`` in Cuckoo's working directory."""
_CONFIGURATIONS: Final = ("processing.conf", "reporting.conf")


def files_for(package: Path) -> list[tuple[Path, Path]]:
    """The module files: where each lies here, and where it belongs in Cuckoo's installed ``cuckoo`` package."""
    return [(Path(__file__).parent / source, package / target) for source, target in _FILES.items()]


def configuration(command: str, home: Path | None = None) -> dict[str, str]:
    """What belongs into the files of ``$CWD/conf``, by file name: the text of each one's section ``[cuckooml]``.

    ``command``: the path of ``cuckoo-ml``. ``home``: None for ``$CWD/storage/cuckooml``.
    Raises SettingsError when the package is incomplete.
    """
    found = {}
    for name in _CONFIGURATIONS:
        text = _read(name)
        for key, value in (("command", command), ("home", str(home) if home else "")):
            line = f"{key} = {value}".rstrip()
            text = re.sub(rf"^{key} =.*$", lambda _, line=line: line, text, flags=re.MULTILINE)  # type: ignore[misc]
        found[name] = text
    return found


def _read(name: str) -> str:
    package = Path(__file__).resolve().parents[2]
    for folder in (package / "conf", package.parent / "conf"):  # installed, or run from a checkout
        file = folder / "cuckoo2" / name
        if file.is_file():
            return file.read_text(encoding="utf-8")
    raise SettingsError(f"{package}: this installation lacks conf/cuckoo2/{name}; install the package again.")
