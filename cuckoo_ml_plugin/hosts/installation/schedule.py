"""The schedule of refits: a systemd timer and service, or a line for cron."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from cuckoo_ml_plugin.hosts.installation.pieces import OwnFile
from cuckoo_ml_plugin.plumbing.commands import shell_command

UNIT_FOLDER = Path("/etc/systemd/system")
_NAME = "cuckoo-ml-refit"
_SERVICE = """\
# Written by cuckoo-ml install for {root}
[Unit]
Description=Refit the cuckoo-ml model if needed

[Service]
Type=oneshot
User={user}
ExecStart={command} --home {home} refit --if-needed
Nice=10
IOSchedulingClass=idle
"""
_TIMER = """\
# Written by cuckoo-ml install.
[Unit]
Description=Check every hour whether the cuckoo-ml model needs a refit

[Timer]
OnCalendar=hourly
RandomizedDelaySec=10min
Persistent=true

[Install]
WantedBy=timers.target
"""


def command() -> str:
    """The path of the ``cuckoo-ml`` that belongs to this Python."""
    return f"{Path(sys.executable).parent / 'cuckoo-ml'}"


def units(root: Path, home: Path, user: str, folder: Path = UNIT_FOLDER) -> list[OwnFile]:
    """The service and the timer of the host in ``root``, for the user that owns it."""
    name = _unit_name(root, folder)
    service = _SERVICE.format(root=root, user=user, command=_for_systemd(command()), home=_for_systemd(home))
    return [OwnFile(folder / f"{name}.service", service), OwnFile(folder / f"{name}.timer", _TIMER)]


def _unit_name(root: Path, folder: Path) -> str:
    """The usual name, or one of its own where another host's folder on this machine has the usual one."""
    own = f"{_NAME}-{hashlib.sha256(str(root).encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
    if (folder / f"{own}.timer").exists():
        return own
    try:
        service = (folder / f"{_NAME}.service").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return _NAME
    of_root = _SERVICE.splitlines()[0].format(root=root) in service.splitlines()
    return _NAME if of_root or f"{root}/" in service else own  # older versions named the home only, below the root


def is_timer(path: Path) -> bool:
    """Whether a file is a timer of ours."""
    return path.name.startswith(_NAME) and path.suffix == ".timer"


def enabling_link(timer: Path) -> Path:
    """The link with which ``systemctl enable`` notes that a timer is to be started."""
    return timer.parent / "timers.target.wants" / timer.name


def cron_line(home: Path) -> str:
    """The line for the crontab of the host's user, where systemd does not run."""
    refit = shell_command(command(), "--home", home, "refit", "--if-needed")
    return f"17 * * * *  {refit} >/dev/null".replace("%", r"\%")  # cron ends a command at a bare %


def _for_systemd(path: str | Path) -> str:
    text = str(path).replace("%", "%%")
    return f'"{text}"' if " " in text else text
