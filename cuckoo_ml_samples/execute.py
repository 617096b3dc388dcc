"""Executes a sample in an invented guest: records the steps of its variant in a `Run`, with the noise of real runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random

from cuckoo_ml_samples.malware import blocks
from cuckoo_ml_samples.malware.families import Step, Variant
from cuckoo_ml_samples.malware.recorder import Recorder
from cuckoo_ml_samples.malware.signatures import SIGNATURES
from cuckoo_ml_samples.run import Guest, HttpRequest, Run, Sample

_USERS = ("user", "admin", "John", "maria", "win7", "Rebecca", "analyst", "Peter", "cape", "lab")
_WORD = "C:\\Program Files (x86)\\Microsoft Office\\Office14\\WINWORD.EXE"
_BEGINNING = datetime(2016, 5, 23, 9, 0, 0)


def make_guest(rng: Random) -> Guest:
    user = rng.choice(_USERS)
    number = rng.randrange(1, 9)
    letters = f"{rng.getrandbits(28):07X}"
    sid = f"S-1-5-21-{rng.getrandbits(31)}-{rng.getrandbits(31)}-{rng.getrandbits(31)}-1000"
    volume = f"{rng.getrandbits(32):08x}-{rng.getrandbits(16):04x}-11e5-{rng.getrandbits(16):04x}-806e6f6e6963"
    return Guest(
        f"win7x64_{number}", user, f"{user.upper()}-PC{letters[:3]}", f"192.168.56.{100 + number}", volume, sid
    )


def _vary(steps: tuple[Step, ...], rng: Random) -> list[Step]:
    """Skips a later step now and then, and swaps two neighbours now and then."""
    varied = [step for number, step in enumerate(steps) if number < 3 or rng.random() > 0.02]
    for index in range(2, len(varied) - 2):
        if rng.random() < 0.08:
            varied[index], varied[index + 1] = varied[index + 1], varied[index]
    return varied


def _lan_noise(run: Run, rng: Random) -> None:
    """Adds the traffic that any Windows machine causes by itself."""
    for name in ("time.example.net", "settings.example.org", "update.example.net"):
        if rng.random() < 0.3:
            run.network.lookups[name] = ""
    if rng.random() < 0.2:
        run.network.requests.append(HttpRequest("GET", "crl.example.net", 80, "/root.crl", "Microsoft-CryptoAPI/6.1"))


def execute(sample: Sample, variant: Variant, rng: Random, *, extra: tuple[Step, ...] = (), noise: bool = True) -> Run:
    """Executes the variant's steps, with the `extra` steps before the last. The same `rng` state gives the same run."""
    guest = make_guest(rng)
    started = _BEGINNING + timedelta(minutes=rng.randrange(60 * 24 * 30), seconds=rng.randrange(60))
    run = Run(sample, guest, started, duration=rng.randrange(60, 240))
    recorder = Recorder(run, rng)
    path = f"{guest.temp}\\{sample.file_name}"
    if sample.package == "doc":
        process = recorder.start(_WORD, f'"{_WORD}" "{path}" /q')
    else:
        process = recorder.start(path, f'"{path}" ')
    with recorder.inside(process):
        steps = _vary(variant.steps, rng)
        for step in (*steps[:-1], *extra, *steps[-1:]):
            step(recorder)
    if noise:
        blocks.background(recorder)
        _lan_noise(run, rng)
    run.score = min(10.0, 0.8 * sum(SIGNATURES[key].severity - 1 for key in run.signatures))
    return run


def execute_nothing(sample: Sample, rng: Random) -> Run:
    """A run without processes: the sample did not start, or waited in vain."""
    guest = make_guest(rng)
    started = _BEGINNING + timedelta(minutes=rng.randrange(60 * 24 * 30))
    return Run(sample, guest, started, duration=rng.randrange(20, 60))
