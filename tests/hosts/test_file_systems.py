"""Doctor says when SQLite keeps the store on a network file system, where its write-ahead log does not work."""

from __future__ import annotations

from pathlib import Path

import pytest

from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.home import Home
from cuckoo_ml_plugin.hosts.installation.file_systems import file_system, place_of_store
from cuckoo_ml_plugin.settings import Settings, settings_from

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
/dev/sdb1 /opt xfs rw 0 0
systemd-1 /mnt/auto autofs rw,fd=29 0 0
nas:/auto /mnt/auto nfs4 rw,vers=4.2 0 0
nas:/export/cape /opt/CAPEv2/storage nfs rw,vers=3 0 0
/dev/sdc1 /opt/CAPEv2/storage/fast ext4 rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
me@host:/ /home/me/there fuse.sshfs rw 0 0

broken
"""


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/opt/CAPEv2/storage/cuckooml/store.db", "/opt/CAPEv2/storage", "nfs"),
        ("/opt/CAPEv2/storage/fast/store.db", "/opt/CAPEv2/storage/fast", "ext4"),
        ("/opt/CAPEv2/storage2/store.db", "/opt", "xfs"),
        ("/mnt/auto/x", "/mnt/auto", "nfs4"),
        ("/mnt/my share/x", "/mnt/my share", "cifs"),
        ("/home/me/there/x", "/home/me/there", "fuse.sshfs"),
        ("/var/x", "/", "ext4"),
    ],
)
def test_a_path_lies_on_the_nearest_mount(path: str, point: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS) == (Path(point), kind)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "9p", "fuse.sshfs", "ceph"])
def test_a_home_on_a_network_file_system_is_named_with_what_to_do(tmp_path: Path, kind: str) -> None:
    mounts = f"/dev/sda1 / ext4 rw 0 0\nnas:/x {tmp_path} {kind} rw 0 0\n"
    home = Home(tmp_path / "home")
    with pytest.raises(CuckooMLError) as raised:
        place_of_store(home, Settings(), mounts)
    sentence = str(raised.value)
    assert sentence.startswith(f"{home.store_file}: lies on the network file system {tmp_path} ({kind})")
    assert "PostgreSQL" in sentence
    assert str(home.settings_file) in sentence


def test_a_link_is_followed_to_where_the_store_is(tmp_path: Path) -> None:
    (tmp_path / "nas" / "home").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "nas" / "home")
    mounts = f"/dev/sda1 / ext4 rw 0 0\nnas:/x {tmp_path}/nas nfs4 rw 0 0\n"
    with pytest.raises(CuckooMLError, match="nfs4"):
        place_of_store(Home(tmp_path / "home"), Settings(), mounts)


def test_a_local_home_or_a_database_server_is_right(tmp_path: Path) -> None:
    nas = f"/dev/sda1 / ext4 rw 0 0\nnas:/x {tmp_path} nfs4 rw 0 0\n"
    assert place_of_store(Home(tmp_path), Settings(), "/dev/sda1 / ext4 rw 0 0\n") == "the store lies on / (ext4)"
    server = settings_from({"store": {"url": "postgresql://db/cuckoo"}})
    assert place_of_store(Home(tmp_path), server, nas) == "the store is kept by a database server"
    elsewhere = settings_from({"store": {"url": "sqlite:////var/lib/cuckoo/store.db"}})
    assert place_of_store(Home(tmp_path), elsewhere, nas) == "the store lies on / (ext4)"


def test_this_machines_own_mounts_are_read(tmp_path: Path) -> None:
    assert place_of_store(Home(tmp_path), Settings()).startswith("the store lies on /")
