"""CAPE with the plugin as older versions installed it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cuckoo_ml_plugin.hosts.installation.installer import BEGIN, END
from support.command import cuckoo_ml

_OLD_BLOCK = """\
try:
    from cuckoo_ml_plugin.hosts.cape.web.settings import install as install_cuckooml

    install_cuckooml(globals())
except Exception as error:  # the web interface starts without the plugin
    import logging

    logging.getLogger("cuckooml").error("cuckoo-ml-plugin could not be added to the web interface: %s", error)
"""


def install_the_old_way(cape: Path, newline: str = "\n") -> None:
    """Install as versions did that had the home in storage/ and put lines into a file that CAPE's git tracks.

    ``newline``: how ``local_settings.py`` ends.
    """
    done = cuckoo_ml(cape / "unused", "install", "--host", "cape", "--root", cape, "--refit", "none")
    assert done.code == 0, done.err
    settings, services = cape / "web/web/local_settings.py", cape / "custom/analysis_services.py"
    mark = BEGIN if newline else f"{BEGIN} (and the line break before)"
    with settings.open("a", newline="") as file:
        file.write(f"{'' if newline else chr(10)}{mark}\n{_OLD_BLOCK}{END}\n")
    services.write_text('"""Makes CAPE fetch the section. Put here by cuckoo-ml install."""\nCUSTOM_SERVICES = []\n')
    texts = {"web/web/local_settings.py": _OLD_BLOCK, "custom/analysis_services.py": services.read_text()}
    notes = cape / "custom/cuckooml-install.json"
    values = json.loads(notes.read_text())
    pieces = {piece["path"]: piece for piece in values["pieces"]}
    for name, text in texts.items():
        digest = hashlib.sha256(text.encode()).hexdigest()
        pieces[name] = {"path": name, "kind": "block" if "web/" in name else "file", "hash": digest, "aside": None}
    old = cape / "storage/cuckooml"
    old.parent.mkdir(exist_ok=True)  # a clean-up deletes it
    (cape / "custom/cuckooml").rename(old)
    (old / "home.id").unlink()
    manifest = {"root": str(cape), "pieces": list(pieces.values()), "folders": values["folders"]}
    (old / "install.json").write_text(json.dumps(manifest))
    notes.unlink()
