"""A file that is replaced: whole or not at all, with its mode and owner, and nothing left beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cuckoo_ml_plugin.plumbing.files import replace_file, replace_link, replacing


def test_a_replaced_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path) -> None:
    file, link = tmp_path / "report.json", tmp_path / "link.json"
    file.write_bytes(b"old")
    file.chmod(0o640)
    link.symlink_to(file.name)
    replace_file(link, b"new")
    assert file.read_bytes() == b"new"
    assert file.stat().st_mode & 0o7777 == 0o640
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [link, file]


def test_a_new_file_gets_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "new", b"text")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_keeps_the_owner_of_a_file_and_gives_a_new_one_that_of_its_folder_when_asked(tmp_path: Path) -> None:
    file = tmp_path / "settings.py"
    file.write_bytes(b"old")
    os.chown(file, 1234, 5678)
    replace_file(file, b"new")
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 5678)
    os.chown(tmp_path, 1234, 5678)
    replace_file(tmp_path / "ours", b"new")
    replace_file(tmp_path / "theirs", b"new", owner_of_folder=True)
    assert [(tmp_path / name).stat().st_uid for name in ("ours", "theirs")] == [0, 1234]


def write_half(file: Path) -> None:
    with replacing(file) as unfinished:
        unfinished.write(b"half")
        raise KeyboardInterrupt


@pytest.mark.parametrize("existing", [True, False])
def test_a_failure_leaves_the_file_as_it_was_and_nothing_beside_it(existing: bool, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    if existing:
        file.write_bytes(b"old")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        write_half(file)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_content_and_folder_are_synced_in_the_right_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        steps.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        fsync(descriptor)

    def recorded_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    replace_file(tmp_path / "a", b"x")
    replace_link(tmp_path / "current", "a")
    assert steps == ["file", "rename", "folder", "rename", "folder"]


def test_what_is_no_file_is_never_replaced(tmp_path: Path) -> None:
    loop, pipe = tmp_path / "loop", tmp_path / "pipe"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    for path in (loop, pipe, tmp_path, Path("/dev/null")):
        with pytest.raises(OSError, match=re.escape(str(path))):
            replace_file(path, b"x")
    assert sorted(tmp_path.iterdir()) == [loop, pipe]


def test_a_link_is_switched_whole(tmp_path: Path) -> None:
    current = tmp_path / "current"
    for target in ("one", "two"):
        replace_link(current, target)
        assert os.readlink(current) == target
    assert list(tmp_path.iterdir()) == [current]
    with pytest.raises(OSError, match="No such file"):
        replace_link(tmp_path / "missing" / "current", "one")


def test_what_a_killed_process_left_is_cleared_and_what_another_writes_stays(tmp_path: Path) -> None:
    writes = (
        "import pathlib, sys\n"
        "from cuckoo_ml_plugin.plumbing.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as file:\n"
        "    print('writing', flush=True)\n"
        "    sys.stdin.read()\n"
        "    file.write(b'whole')\n"
    )
    foreign = tmp_path / ".unfinished-business"
    foreign.write_text("of somebody else")

    def writer(name: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", writes, str(tmp_path / name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        return process

    killed, living = writer("killed"), writer("living")
    killed.kill()
    killed.communicate()
    assert len(list(tmp_path.glob(".unfinished-*"))) == 3
    replace_file(tmp_path / "next", b"content")
    assert len(list(tmp_path.glob(".unfinished-*"))) == 2
    living.communicate()
    assert (tmp_path / "living").read_bytes() == b"whole"
    assert list(tmp_path.glob(".unfinished-*")) == [foreign]
