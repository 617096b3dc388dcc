"""A worker that takes long to start does not cost Cuckoo's web interface its first page."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from support.cuckoo2 import python2
from support.time_limits import HANG

import cuckoo_ml_plugin.hosts.cuckoo2

CLIENT = Path(cuckoo_ml_plugin.hosts.cuckoo2.__file__).with_name("client.py")
SLOW = """#!/usr/bin/env python3
import json, sys, time
open(sys.argv[2] + "/started", "a").write("x")
time.sleep(4)
for line in sys.stdin.buffer:
    header = json.loads(line)
    sys.stdin.buffer.read(header["bytes"])
    print(json.dumps({"id": header["id"], "result": header["op"]}), flush=True)
"""
READERS = """
import imp, json, sys, threading
sys.dont_write_bytecode = True
client = imp.load_source("client", sys.argv[1])
client._settings = lambda: (sys.argv[2], sys.argv[3], 10, sys.argv[3] + "/log")
if sys.argv[4] == "warm":
    client.warm_up()
answers = []
def read():
    try:
        answers.append(client.ask("panel", {}, b"", 2))
    except client.WorkerError as error:
        answers.append(str(error))
threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(answers))
"""


@pytest.mark.parametrize("start", ["cold", "warm"])
def test_the_first_readers_get_their_pages_from_one_worker(tmp_path: Path, start: str) -> None:
    worker = tmp_path / "worker"
    worker.write_text(SLOW, encoding="utf-8")
    worker.chmod(0o755)
    command = [python2(), "-c", READERS, str(CLIENT), str(worker), str(tmp_path), start]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["panel"] * 3
    assert (tmp_path / "started").read_text(encoding="utf-8") == "x", "no second worker was started"
