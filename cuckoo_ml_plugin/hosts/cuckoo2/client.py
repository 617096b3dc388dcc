# Part of cuckoo-ml-plugin, installed as cuckoo/common/cuckooml.py into Cuckoo 2.0.7. Python 2.7, standard library only.
"""The client of cuckoo-ml: starts one long-lived `cuckoo-ml worker` (Python 3) in each of Cuckoo's processes.

Nothing here costs Cuckoo an analysis: an error becomes a section with status "failed" and a line in Cuckoo's log. Where
the worker gives no answer in time, the request waits in the folder spool of the home, and the next worker stores it.
"""

import atexit
import binascii
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
COUNTS_SHARE = 0.5  # the share of TIMEOUT that the processing stage may take
WAITING_SHARE = 0.9  # of TIMEOUT for waiting for the worker: then there is time to end it and to keep the request
MOMENT = 0.2  # the share of the time in which a new worker must answer, where the one before it did not in time
MAX_CALLS = 5000000  # of one process; Cuckoo's own limits lie far below
MAX_TRACED = 100000  # of one analysis on Linux, the calls that are sent with their arguments
START = 60  # seconds that a worker may take to start, in the web interface, where nobody's analysis waits for it
MAX_ANSWER = 64 * 1024 * 1024  # bytes
_UNICODE = type(b"".decode("ascii"))
HOME = os.path.join("storage", "cuckooml")  # the home, unless the option names another
HOME_FILES = ("cuckooml.conf", "store.db", "models")  # as Home.exists has them
SPOOL = "spool"  # in the home: what waits to be stored, as engine/arrivals/spool.py has it
MOST_WAITING = 10000  # files in the spool
MOST_WAITING_BYTES = 512 * 1024 * 1024
KEEPING = 2  # seconds that it may take to write such a file
SIGNATURE = "behaves_like"  # the name of the signature that [host] signature of cuckooml.conf adds

DUMPED = (  # of a part of memory
    "type", "pid", "cape_type", "cape_type_code", "process_path", "target_path", "target_pid", "tlsh", "pe",
    ("yara", ("name",)), ("cape_yara", ("name",)),
)

# What is sent of a report: for each section None (all of it) or the keys that are kept, each of which may have keys of
# its own; of a list, the keys are those of its items. All else stays here. Wherever keys are named they are those that
# cuckoo_ml_plugin/report/files/schema.py reads; a test compares the two. The call logs go into the header (_request).
SECTIONS = {
    "info": (
        "version", "id", "started", "machine", "owner", "user_id", "tags", "category", "platform", "options", "custom",
        "job_id",
    ),
    "target": None,
    "static": None,
    "behavior": (
        "summary", "apistats", "enhanced", ("generic", ("summary",)),
        ("processes", (
            "process_name", "process_path", "module_path", "command_line", "track", "environ", "process_id",
            "parent_id", "pid", "ppid",
        )),
    ),
    "network": ("hosts", "domains", "dns", "tcp", "udp", "http", "http_ex", "https_ex", "dead_hosts", ("icmp", ())),
    "suricata": ("tls", "http", ("dns", (("dns", ("rrname",)),))),
    "dropped": (
        "name", "type", "filepath", "guest_paths", "sha256", ("virustotal", ("positives", "total", "error")),
    ),
    "signatures": ("name", "severity", "ttp"),
    "strings": None,
    "virustotal": None,
    "url": None,
    "threatintelligence": None,
    "reversinglabs": None,
    "detections": None,
    "similarity": (("results", None),),
    "sigma": (("detections", ("level",)),),
    "malscore": None,
    "malstatus": None,
    "malfamily": None,
    "malfamily_tag": None,
    "CAPE": None,
    "procdump": None,
    "procmemory": (("yara", ("name",)), ("extracted", DUMPED)),
    "buffer": DUMPED,
    "ttps": None,
    "mbcs": None,
    "url_analysis": None,
    "debug": ("errors",),
    "droidmon": (
        "reflection_calls", "fingerprint", "data_leak", "events", "file_accessed", "commands", "started_activities",
        "loadDex", "sms", ("httpConnections", ("request",)),
    ),
    "tracee": None,
}


class WorkerError(Exception):
    """The worker gave no usable answer; the message says why."""


class WorkerDied(WorkerError):
    """The worker ended before it answered; another one may succeed."""


class WorkerLate(WorkerError):
    """The worker did not answer in time."""


class WorkerRefused(WorkerError):
    """The worker answered that the request cannot be done."""


def register():
    """Add the sections [cuckooml] to Cuckoo's configuration schema. The modules call this when they are imported.

    Without the sections, as in a working directory that shares only the package, nothing runs.
    """
    from cuckoo.common.config import Boolean, Config, Int, String

    Config.configuration["processing"].setdefault("cuckooml", {"enabled": Boolean(False)})
    Config.configuration["reporting"].setdefault("cuckooml", {
        "enabled": Boolean(False),
        "command": String("cuckoo-ml"),
        "home": String(""),
        "timeout": Int(TIMEOUT),
    })


def count(results, task_id):
    """The section as the processing stage leaves it: the counts, not scored yet."""
    try:
        header, body = _request("counts", results, calls=False)
        return _ask(header, body, task_id, COUNTS_SHARE)
    except Exception as error:
        return _failed("The behaviour could not be counted", error, task_id)


def enrich(results, task_id, report_path):
    """Put the section into the results, in the reporting stage."""
    seed, signature, request = None, None, None
    try:
        header, body = request = _request("enrich", results, calls=True)
        header.update(analysis="%s" % task_id, report_path=os.path.realpath(report_path))
        answer = _ask(header, body, task_id, 1.0)
        section, seed, signature = answer["section"], answer["seed"], answer.get("signature")
    except Exception as error:
        kept = ""
        if isinstance(error, WorkerError) and not isinstance(error, WorkerRefused):
            kept = _keep(*request)
        section = _failed("The analysis could not be scored", error, task_id, kept)
        before = results.get("cuckooml")
        if isinstance(before, dict) and isinstance(before.get("counts"), dict):
            section["counts"] = before["counts"]
    results["cuckooml"] = section
    info = results.setdefault("info", {})
    if seed is not None and isinstance(info, dict):
        clustering = info.setdefault("clustering", {})
        if isinstance(clustering, dict):
            clustering["hdbscan"] = seed
    signatures = results.get("signatures")
    if isinstance(signatures, list):  # one of an earlier run of this task is replaced
        signatures[:] = [entry for entry in signatures if not _is_ours(entry)] + ([signature] if signature else [])
    elif signatures is None and signature:
        results["signatures"] = [signature]


def _is_ours(entry):
    return isinstance(entry, dict) and entry.get("name") == SIGNATURE


def complete_html(results, task_id, path):
    """Put the panel into the HTML report, if Cuckoo wrote one."""
    try:
        if os.path.isfile(path) and isinstance(results.get("cuckooml"), dict):
            body = json.dumps(results["cuckooml"], default=_plain, encoding="latin-1", skipkeys=True)
            _ask({"op": "html_report", "path": os.path.realpath(path)}, body, task_id, 1.0)
    except Exception as error:
        log.error("Task #%s: cuckoo-ml: the HTML report has no panel: %s", task_id, error)
    finally:
        _budgets.pop(task_id, None)


def ask(op, fields, body, seconds):
    """The worker's answer to a request that belongs to no analysis. Raises WorkerError."""
    command, home, _, log_path = _settings()
    return _ask_within(dict(fields, op=op), body, seconds, (command, home, log_path), START)


def warm_up():
    """Start the worker of this process in the background, so that the first page finds it ready. Never raises."""

    def start():
        try:
            ask("ping", {}, b"", TIMEOUT)
        except Exception as error:
            log.warning("cuckoo-ml: the worker could not be started ahead of the first page: %s", error)

    thread = threading.Thread(target=start)
    thread.daemon = True
    thread.start()


def _failed(what, error, task_id, remark=""):
    """The section of an analysis that got no finding; the error is logged."""
    cause = error.args[0] if isinstance(error, WorkerError) else "unexpected %r" % error
    message = "%s: %s%s" % (what, cause, remark)
    log.error("Task #%s: cuckoo-ml: %s", task_id, message)
    message = message[:1000].decode("utf-8", "replace") if isinstance(message, bytes) else message[:1000]
    return {
        "schema": 2, "status": "failed", "message": message, "verdict": {"kind": "unknown", "text": message},
        "model": None, "cluster": None, "kin": None, "anomaly": None, "similar": [], "evidence": [],
        "behash": None, "threat_scores": None, "counts": {},
    }


# -- what waits --------------------------------------------------------------------------------------------------------


def _keep(header, body):
    """Let a request wait in the spool; returns what the section says of it. Never raises, and creates no home."""
    outcome = []

    def write():
        try:
            _write_waiting(_settings()[1], json.dumps(header, encoding="latin-1") + "\n" + body)
            outcome.append("; the analysis waits in the home, and the next worker stores it")
        except Exception as error:
            outcome.append("; it could not be kept for later either (%s): import its report" % error)

    thread = threading.Thread(target=write)  # the file system may hang
    thread.daemon = True
    thread.start()
    thread.join(KEEPING)
    return outcome[0] if outcome else "; it could not be kept for later in time: import its report"


def _write_waiting(home, content):
    """Write a file into the spool, whole and only for its owner. Raises EnvironmentError."""
    owner = os.stat(home)
    folder = os.path.join(home, SPOOL)
    if not os.path.isdir(folder):
        os.mkdir(folder, 0o700)
        _give(folder, owner)
    sizes = [_size(os.path.join(folder, name)) for name in os.listdir(folder)]
    if len(sizes) >= MOST_WAITING or sum(sizes) + len(content) > MOST_WAITING_BYTES:
        raise EnvironmentError("%s is full" % folder)
    token = binascii.hexlify(os.urandom(8)).decode("ascii")
    path = os.path.join(folder, ".unfinished-%s" % token)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file_:
            file_.write(content)
            file_.flush()
            os.fsync(file_.fileno())
        _give(path, owner)
        os.rename(path, os.path.join(folder, "%020d-%s.request" % (time.time() * 1000000000, token)))
    except Exception:
        os.unlink(path)
        raise


def _size(path):
    try:
        return os.path.getsize(path)
    except OSError:  # somebody has stored it
        return 0


def _give(path, owner):
    """Give a path to the owner of the home, if this process is root's."""
    if os.geteuid() == 0:
        os.lchown(path, owner.st_uid, owner.st_gid)


# -- what is sent ------------------------------------------------------------------------------------------------------


def _request(op, results, calls):
    """Header and body of a request: the call logs, as names and numbers, go into the header, all else into the body."""
    body = dict((name, _only(results[name], keys)) for name, keys in SECTIONS.items() if name in results)
    header = {"op": op}
    behavior = results.get("behavior")
    if not isinstance(behavior, dict):
        body.pop("behavior", None)
    else:
        if body["behavior"].get("summary"):
            body["behavior"].pop("generic", None)  # read only where there is no summary
        processes = behavior.get("processes")
        if calls and isinstance(processes, (list, tuple)):
            header["calls"], left = [], MAX_TRACED
            for index, process in enumerate(processes):
                names, codes, traced = _calls(process.get("calls") if isinstance(process, dict) else None, left)
                header["calls"].append([names, codes])
                if traced:
                    body["behavior"]["processes"][index]["calls"] = traced
                    left -= len(traced)
    # Encoded as Cuckoo's JsonDump does, so that the worker reads what it would read from report.json.
    return header, json.dumps(body, default=_plain, encoding="latin-1", skipkeys=True)


def _only(value, keys):
    """The part of a value that SECTIONS names."""
    if keys is None:
        return value
    if isinstance(value, dict):
        pairs = (key if isinstance(key, tuple) else (key, None) for key in keys)
        return dict((key, _only(value[key], below)) for key, below in pairs if key in value)
    if isinstance(value, (list, tuple)):
        return [_only(item, keys) for item in value]
    return value


def _calls(log_, most_traced=0):
    """The names in a process's call log and their order, in one pass: each pass makes Cuckoo parse the log again.

    Of systemtap's log (Linux), the first calls come with their arguments, too: a report of Linux has no summary.
    """
    names, numbers, codes, traced = [], {}, [], []
    if isinstance(log_, (list, tuple)):
        try:
            for call in log_:
                api = call.get("api")
                if not isinstance(api, (type(""), _UNICODE)):
                    continue
                if api not in numbers:
                    numbers[api] = len(names)
                    names.append(api)
                if "instruction_pointer" in call and len(codes) == len(traced) < most_traced:
                    traced.append(dict((key, call.get(key)) for key in ("api", "arguments", "return_value")))
                codes.append(numbers[api])
                if len(codes) >= MAX_CALLS:
                    break
        except Exception as error:  # a damaged log counts up to the damage
            log.warning("cuckoo-ml: a call log cannot be read beyond call %d: %s", len(codes), error)
    return [names, codes, traced]


def _plain(value):
    """A value that JSON has no type for: times as seconds since 1970, all else as null."""
    if isinstance(value, datetime.datetime):
        if value.utcoffset() is not None:
            value = value - value.utcoffset()
        return calendar.timegm(value.timetuple()) + value.microsecond / 1000000.0
    return None


# -- the worker --------------------------------------------------------------------------------------------------------

_budgets = {}  # task id -> seconds left for waiting for its requests
_current = None  # the worker of this process
_owner = None  # the pid that _current and _lock belong to
_lock = threading.Lock()
_was_late = False  # whether the last worker did not answer in time


def _now():
    return os.times()[4]  # in seconds; a change of the system's clock does not move it


def home_of(folder, named):
    """The home of a working directory: until `install` has moved an earlier home to the named place, that one."""
    places = [os.path.join(folder, place) for place in (named, HOME) if place]
    begun = [place for place in places if any(os.path.exists(os.path.join(place, name)) for name in HOME_FILES)]
    return (begun or places)[0]


def _settings():
    from cuckoo.common.config import config
    from cuckoo.misc import cwd

    home = home_of(cwd(), config("reporting:cuckooml:home"))
    timeout = config("reporting:cuckooml:timeout")
    return (
        config("reporting:cuckooml:command") or "cuckoo-ml", home,
        TIMEOUT if timeout is None or timeout <= 0 else timeout, cwd("log", "cuckooml.log"),
    )


def _ask(header, body, task_id, share):
    """The worker's answer, within the time that the analysis has left. Raises WorkerError."""
    command, home, timeout, log_path = _settings()
    if len(_budgets) > 1000:  # of analyses that were never reported
        _budgets.clear()
    left = _budgets.get(task_id, WAITING_SHARE * timeout)
    seconds = min(left, share * timeout)
    began = _now()
    try:
        return _ask_within(header, body, seconds, (command, home, log_path))
    finally:
        _budgets[task_id] = max(left - (_now() - began), 0)


def _ask_within(header, body, seconds, start, starting=0):
    global _current, _owner, _lock
    if _owner != os.getpid():  # this process was forked; the worker belongs to its parent
        if _current is not None:
            _current.forget()
        _current, _owner, _lock = None, os.getpid(), threading.Lock()
    deadline = _now() + seconds
    with _lock:
        if starting:  # a reader who waited for another's page, or for the start, has not used up his own time
            deadline = _now() + seconds
        return _ask_twice(header, body, deadline, start, starting)


def _ask_twice(header, body, deadline, start, starting):
    """``starting``: how many seconds longer the first answer of a worker may take: it has to load its modules."""
    global _current, _was_late
    for last in (False, True):
        if _current is not None and not _current.answered and _now() - _current.began > START:
            _current.kill()
            _current = None
        if _current is None:
            _current = Worker(*start)
        worker = _current
        if _was_late and not starting:
            try:
                has_started = worker.has_started(_now() + MOMENT * (deadline - _now()))
            except WorkerDied:
                worker.kill()
                _current = None
                raise
            if not has_started:  # it goes on starting, for the next analysis
                raise WorkerLate("%s was not waited for: the one before it did not answer in time" % worker.name)
        if starting and not worker.answered:
            began = _now()
            try:
                worker.ask({"op": "ping"}, b"", began + starting)
            except WorkerError:
                worker.kill()
                _current = None
                raise
            deadline += _now() - began
        answered = False
        try:
            answer = worker.ask(header, body, deadline)
            answered, _was_late = True, False
            return answer
        except WorkerLate:
            _was_late = True
            raise
        except WorkerDied as error:
            if last or _now() >= deadline:
                raise
            log.warning("cuckoo-ml: %s; starting another worker", error)
        finally:
            if not answered:
                worker.kill()
                _current = None


class Worker(object):
    """A running `cuckoo-ml worker` and the pipes to it."""

    def __init__(self, command, home, log_path):
        # Settings of Python 2 would mislead Python 3; one thread is fastest for a single analysis.
        env = dict((key, value) for key, value in os.environ.items() if not key.startswith("PYTHON"))
        env.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self.requests = 0
        self.began = _now()
        self.answered = False  # whether it has ever answered, and so has started
        self.asked_to_start = False
        self.rest = b""
        try:
            with open(log_path, "ab") as log_file:
                self.process = subprocess.Popen(
                    [command, "--home", home, "worker", "--parent", "%d" % os.getpid()],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file, close_fds=True, env=env,
                    preexec_fn=os.setsid,  # a group of its own, so that kill() reaches its children as well
                )
        except EnvironmentError as error:
            raise WorkerError("%s cannot be started (%s); check command in [cuckooml] of reporting.conf" % (
                command, error.strerror or error
            ))
        self.name = "the worker (pid %d; see %s)" % (self.process.pid, log_path)
        for pipe in (self.process.stdin, self.process.stdout):
            flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
            fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_NONBLOCK)
            fcntl.fcntl(pipe, fcntl.F_SETFD, fcntl.fcntl(pipe, fcntl.F_GETFD) | fcntl.FD_CLOEXEC)

    def has_started(self, deadline):
        """Whether the worker has answered by then; if not, it may still do so later. Raises WorkerDied."""
        if self.answered:
            return True
        try:
            if not self.asked_to_start:
                self._send(json.dumps({"op": "ping", "id": 0, "bytes": 0}) + "\n", deadline)
                self.asked_to_start = True
            self._line(deadline)
            self.answered = True
        except WorkerLate:
            pass
        return self.answered

    def ask(self, header, body, deadline):
        """Send a request and wait for its answer. Raises WorkerError; the worker cannot be used after that."""
        self.requests += 1
        header = dict(header, id=self.requests, bytes=len(body), seconds=max(deadline - _now(), 0))
        self._send(json.dumps(header, encoding="latin-1") + "\n" + body, deadline)
        try:
            answer = json.loads(self._line(deadline))
        except ValueError as error:
            raise WorkerError("%s gave an answer that is not JSON (%s)" % (self.name, error))
        if not isinstance(answer, dict) or answer.get("id") != self.requests:
            raise WorkerError("%s answered another request" % self.name)
        self.answered = True
        if "error" in answer:
            raise WorkerRefused("%s reports an error: %s" % (self.name, answer["error"]))
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
            try:
                self._wait(self.process.stdout, select.POLLIN, deadline)
            except WorkerLate:
                self.rest = b"".join(parts)
                raise
            try:
                chunk = os.read(self.process.stdout.fileno(), 65536)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EINTR):
                    continue
                raise WorkerDied("%s ended" % self.name)
            if not chunk:
                raise WorkerDied("%s ended before it answered" % self.name)
            line, end, self.rest = chunk.partition(b"\n")
            parts.append(line)
            size += len(line)
            if end:
                return b"".join(parts)
            if size > MAX_ANSWER:
                raise WorkerError("%s gave an answer that is too long" % self.name)

    def _wait(self, pipe, event, deadline):
        poll = select.poll()
        poll.register(pipe, event)
        while True:
            seconds = deadline - _now()
            if seconds <= 0:
                raise WorkerLate("%s did not answer in time and was stopped" % self.name)
            try:
                if poll.poll(seconds * 1000):
                    return
            except select.error as error:
                if error.args[0] != errno.EINTR:
                    raise

    def forget(self):
        """Close our ends of the pipes; the worker stays with the process that started it."""
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except (EnvironmentError, ValueError):
                pass

    def kill(self):
        """End the worker at once."""
        self.forget()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except OSError:
            pass
        for _ in range(100):  # one second for the killed process to go; Cuckoo does not wait longer
            if self.process.poll() is not None:
                return
            time.sleep(0.01)


@atexit.register
def _leave():
    if _current is not None and _owner == os.getpid():
        _current.forget()  # a worker ends at the end of its input
