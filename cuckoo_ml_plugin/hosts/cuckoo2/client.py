# Part of cuckoo-ml-plugin, installed as cuckoo/common/cuckooml.py into Cuckoo 2.0.7. Python 2.7, standard library only.
"""The way from Cuckoo's Python 2.7 to cuckoo-ml's Python 3: one long-lived `cuckoo-ml worker` for each process.

Nothing in here costs Cuckoo an analysis: what goes wrong becomes a section with status "failed" and a line in the log.
"""

import atexit
import calendar
import datetime
import errno
import fcntl
import json
import logging
import os
import select
import signal
import subprocess
import threading
import time

log = logging.getLogger(__name__)

TIMEOUT = 10  # seconds for both stages of one analysis together
COUNTS_SHARE = 0.5  # of that, the most that the processing stage may take
MAX_CALLS = 5000000  # of one process; Cuckoo's own limits lie far below
MAX_ANSWER = 64 * 1024 * 1024

VERDICT = ("positives", "total", "error", "detected_urls")
# What is read of a report, section by section; None: all of it. The rest stays here. A key may have keys of its own.
SECTIONS = {
    "info": ("version", "id", "started", "machine", "owner", "user_id", "tags", "category"),
    "target": None,
    "static": None,
    "network": ("hosts", "domains", "dns", "tcp", "udp", "http", "http_ex", "https_ex", "dead_hosts"),
    "suricata": ("tls", "http"),
    "dropped": ("name", "type", "filepath", "guest_paths", "sha256", ("virustotal", VERDICT)),
    "signatures": ("name",),
    "strings": None,
    "virustotal": ("scans", "results") + VERDICT,
    "detections": None,
    "malfamily": None,
    "malfamily_tag": None,
    "CAPE": None,
}
BEHAVIOR = ("summary", "apistats", "enhanced")
PROCESS = ("process_name", "process_path", "module_path", "command_line", "track", "environ")


class WorkerError(Exception):
    """The worker gave no answer; says why."""


class WorkerDied(WorkerError):
    """It ended, or could not be written to, before it had answered: another may do better."""


def register():
    """Make Cuckoo's configuration know our sections. Called at import of the modules."""
    from cuckoo.common.config import Boolean, Config, Int, String

    Config.configuration["processing"].setdefault("cuckooml", {"enabled": Boolean(True)})
    Config.configuration["reporting"].setdefault("cuckooml", {
        "enabled": Boolean(True),
        "command": String("cuckoo-ml"),
        "home": String(""),
        "timeout": Int(TIMEOUT),
    })


def count(results, task_id):
    """The section for the processing stage: the counts, not scored yet."""
    try:
        header, body = _request("counts", results, calls=False)
        return _ask(header, body, task_id, COUNTS_SHARE)
    except Exception as error:
        return _failed("The counts could not be taken", error, task_id)


def enrich(results, task_id, report_path):
    """Put the finding into the results, in the reporting stage."""
    seed = None
    try:
        header, body = _request("enrich", results, calls=True)
        header.update(analysis="%s" % task_id, report_path=os.path.realpath(report_path))
        answer = _ask(header, body, task_id, 1.0)
        section, seed = answer["section"], answer["seed"]
    except Exception as error:
        section = _failed("The analysis could not be scored", error, task_id)
        before = results.get("cuckooml")
        if isinstance(before, dict) and isinstance(before.get("counts"), dict):
            section["counts"] = before["counts"]
    results["cuckooml"] = section
    info = results.setdefault("info", {})
    if seed is not None and isinstance(info, dict):
        clustering = info.setdefault("clustering", {})
        if isinstance(clustering, dict):
            clustering["hdbscan"] = seed


def complete_html(results, task_id, path):
    """Put the panel into the HTML report that Cuckoo wrote, if it did."""
    try:
        if os.path.isfile(path) and isinstance(results.get("cuckooml"), dict):
            body = json.dumps(results["cuckooml"], default=_plain, encoding="latin-1", skipkeys=True)
            _ask({"op": "html_report", "path": os.path.realpath(path)}, body, task_id, 1.0)
    except Exception as error:
        log.error("Task #%s: cuckoo-ml: the HTML report has no panel: %s", task_id, error)
    finally:
        _budgets.pop(task_id, None)


def ask(op, fields, body, seconds):
    """What the worker answers to a request that belongs to no analysis. Raises WorkerError."""
    command, home, _, log_path = _settings()
    return _ask_within(dict(fields, op=op), body, seconds, (command, home, log_path))


def _failed(what, error, task_id):
    message = "%s: %s" % (what, error.args[0] if isinstance(error, WorkerError) else "unexpected %r" % error)
    log.error("Task #%s: cuckoo-ml: %s", task_id, message)
    return {
        "schema": 1, "status": "failed", "message": message[:1000].decode("utf-8", "replace")
        if isinstance(message, bytes) else message[:1000],
        "model": None, "cluster": None, "anomaly": None, "similar": [], "evidence": [], "threat_scores": None,
        "counts": {},
    }


# -- what is sent ------------------------------------------------------------------------------------------------------


def _request(op, results, calls):
    """Header and body: the call logs, as names and numbers, stand in the header, all else in the body."""
    body = {}
    for name, keys in SECTIONS.items():
        if name in results:
            body[name] = _only(results[name], keys)
    behavior = results.get("behavior")
    header = {"op": op}
    if isinstance(behavior, dict):
        found = _only(behavior, BEHAVIOR)
        if not found.get("summary"):
            found["generic"] = _only(behavior.get("generic"), ("summary",))
        processes = behavior.get("processes")
        found["processes"] = _only(processes, PROCESS)
        body["behavior"] = found
        if calls and isinstance(processes, (list, tuple)):
            header["calls"] = [_calls(one.get("calls") if isinstance(one, dict) else None) for one in processes]
    # As Cuckoo's JsonDump writes it, so that the worker reads what is read from report.json.
    return header, json.dumps(body, default=_plain, encoding="latin-1", skipkeys=True)


def _only(value, keys):
    if keys is None:
        return value
    if isinstance(value, dict):
        pairs = (key if isinstance(key, tuple) else (key, None) for key in keys)
        return dict((key, _only(value[key], below)) for key, below in pairs if key in value)
    if isinstance(value, (list, tuple)):
        return [_only(one, keys) for one in value]
    return value


def _calls(log_):
    """The names in a process's log and their order, in one pass: Cuckoo parses the log again for each."""
    names, numbers, codes = [], {}, []
    if isinstance(log_, (list, tuple)):
        try:
            for call in log_:
                api = call.get("api")
                if not isinstance(api, type("")) and not isinstance(api, type(u"")):
                    continue
                if api not in numbers:
                    numbers[api] = len(names)
                    names.append(api)
                codes.append(numbers[api])
                if len(codes) >= MAX_CALLS:
                    break
        except Exception as error:  # the log breaks off: what was read of it counts
            log.warning("cuckoo-ml: a log of calls breaks off after %d: %s", len(codes), error)
    return [names, codes]


def _plain(value):
    if isinstance(value, datetime.datetime):
        if value.utcoffset() is not None:
            value = value - value.utcoffset()
        return calendar.timegm(value.timetuple()) + value.microsecond / 1000000.0
    return None


# -- who answers -------------------------------------------------------------------------------------------------------

_budgets = {}  # task id -> seconds left for its requests
_current = None  # the worker of this process
_owner = None  # the pid that _current and _lock belong to
_lock = threading.Lock()


def _now():
    return os.times()[4]  # seconds that no change of the clock touches


def _settings():
    from cuckoo.common.config import config
    from cuckoo.misc import cwd

    home = config("reporting:cuckooml:home") or cwd("storage", "cuckooml")
    timeout = config("reporting:cuckooml:timeout")
    return (
        config("reporting:cuckooml:command") or "cuckoo-ml", home,
        TIMEOUT if timeout is None or timeout <= 0 else timeout, cwd("log", "cuckooml.log"),
    )


def _ask(header, body, task_id, share):
    """The worker's answer within what is left of the analysis's time. Raises WorkerError."""
    command, home, timeout, log_path = _settings()
    if len(_budgets) > 1000:  # analyses that were never reported
        _budgets.clear()
    left = min(_budgets.get(task_id, timeout), share * timeout)
    began = _now()
    try:
        return _ask_within(header, body, left, (command, home, log_path))
    finally:
        _budgets[task_id] = max(_budgets.get(task_id, timeout) - (_now() - began), 0)


def _ask_within(header, body, seconds, start):
    global _current, _owner, _lock
    if _owner != os.getpid():  # forked: the worker is our parent's
        if _current is not None:
            _current.forget()
        _current, _owner, _lock = None, os.getpid(), threading.Lock()
    deadline = _now() + seconds
    with _lock:
        return _ask_twice(header, body, deadline, start)


def _ask_twice(header, body, deadline, start):
    global _current
    for last in (False, True):
        if _current is None:
            _current = Worker(*start)
        worker = _current
        answered = False
        try:
            answer = worker.ask(header, body, deadline)
            answered = True
            return answer
        except WorkerDied as error:
            if last or _now() >= deadline:
                raise
            log.warning("cuckoo-ml: %s; starting another worker", error)
        finally:
            if not answered:
                worker.kill()
                _current = None


class Worker(object):
    """A `cuckoo-ml worker` and the pipes to it."""

    def __init__(self, command, home, log_path):
        # Python 2's settings are not for Python 3; one thread is quickest for a single analysis.
        env = dict((key, value) for key, value in os.environ.items() if not key.startswith("PYTHON"))
        env.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self.requests = 0
        self.rest = b""
        try:
            with open(log_path, "ab") as log_file:
                self.process = subprocess.Popen(
                    [command, "--home", home, "worker", "--parent", "%d" % os.getpid()],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file, close_fds=True, env=env,
                    preexec_fn=os.setsid,  # a group of its own: killed with whatever it started
                )
        except EnvironmentError as error:
            raise WorkerError("%s cannot be started (%s); see command in [cuckooml] of reporting.conf" % (
                command, error.strerror or error
            ))
        self.name = "the worker (pid %d; see %s)" % (self.process.pid, log_path)
        for pipe in (self.process.stdin, self.process.stdout):
            flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
            fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            fcntl.fcntl(pipe, fcntl.F_SETFD, fcntl.fcntl(pipe, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)

    def ask(self, header, body, deadline):
        """Send a request and wait for its answer. Raises WorkerError; the worker is of no use after that."""
        self.requests += 1
        header = dict(header, id=self.requests, bytes=len(body))
        self._send(json.dumps(header, encoding="latin-1") + "\n" + body, deadline)
        try:
            answer = json.loads(self._line(deadline))
        except ValueError as error:
            raise WorkerError("%s answered with something else than JSON (%s)" % (self.name, error))
        if not isinstance(answer, dict) or answer.get("id") != self.requests:
            raise WorkerError("%s answered another request" % self.name)
        if "error" in answer:
            raise WorkerError("%s says: %s" % (self.name, answer["error"]))
        return answer.get("result")

    def _send(self, data, deadline):
        view, sent = memoryview(data), 0
        while sent < len(data):
            self._wait(self.process.stdin, select.POLLOUT, deadline)
            try:
                sent += os.write(self.process.stdin.fileno(), view[sent:sent + 65536])
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EINTR):
                    raise WorkerDied("%s ended" % self.name)

    def _line(self, deadline):
        parts, size = [self.rest], len(self.rest)
        while True:
            self._wait(self.process.stdout, select.POLLIN, deadline)
            try:
                chunk = os.read(self.process.stdout.fileno(), 65536)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EINTR):
                    continue
                raise WorkerDied("%s ended" % self.name)
            if not chunk:
                raise WorkerDied("%s ended before it answered" % self.name)
            line, found, self.rest = chunk.partition(b"\n")
            parts.append(line)
            size += len(line)
            if found:
                return b"".join(parts)
            if size > MAX_ANSWER:
                raise WorkerError("%s answers without end" % self.name)

    def _wait(self, pipe, event, deadline):
        poll = select.poll()
        poll.register(pipe, event)
        while True:
            left = deadline - _now()
            if left <= 0:
                raise WorkerError("%s did not answer in time; it was stopped" % self.name)
            try:
                if poll.poll(left * 1000):
                    return
            except select.error as error:
                if error.args[0] != errno.EINTR:
                    raise

    def forget(self):
        """Close our ends, and leave the worker to the process that it belongs to."""
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except (EnvironmentError, ValueError):
                pass

    def kill(self):
        """End it at once."""
        self.forget()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        for _ in range(100):  # a killed process may take a moment to go, but Cuckoo does not wait for it
            if self.process.poll() is not None:
                return
            time.sleep(0.01)


@atexit.register
def _leave():
    if _current is not None and _owner == os.getpid():
        _current.forget()  # at the end of its input a worker ends by itself
