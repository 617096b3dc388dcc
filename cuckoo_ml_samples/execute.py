"""Runs a sample in a made-up guest: composes the blocks of its variant into a `Run`, with the noise of real runs."""

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
        f"win7x64_{number}", user, f"{user.upper()}-PC{letters[:3]}", f"192.168.56.{100 + number}", volume, sid, False
    )


def _shuffled(steps: tuple[Step, ...], rng: Random) -> list[Step]:
    """The steps, one of the later ones now and then skipped and two neighbours now and then swapped."""
    kept = [step for number, step in enumerate(steps) if number < 3 or rng.random() > 0.02]
    for place in range(2, len(kept) - 2):
        if rng.random() < 0.08:
            kept[place], kept[place + 1] = kept[place + 1], kept[place]
    return kept


def _lan_noise(run: Run, rng: Random) -> None:
    """What any Windows machine looks up by itself."""
    for name in ("time.example.net", "settings.example.org", "update.example.net"):
        if rng.random() < 0.3:
            run.network.lookups[name] = ""
    if rng.random() < 0.2:
        run.network.requests.append(HttpRequest("GET", "crl.example.net", 80, "/root.crl", "Microsoft-CryptoAPI/6.1"))


def execute(sample: Sample, variant: Variant, rng: Random, *, extra: tuple[Step, ...] = (), noise: bool = True) -> Run:
    """One execution; `extra` steps happen before the last. The same `rng` state gives the same run."""
    guest = make_guest(rng)
    started = _BEGINNING + timedelta(minutes=rng.randrange(60 * 24 * 30), seconds=rng.randrange(60))
    run = Run(sample, guest, started, duration=rng.randrange(60, 240))
    recorder = Recorder(run, rng)
    path = f"{guest.temp}\\{sample.file_name}"
    if sample.package == "doc":
        first = recorder.start(_WORD, f'"{_WORD}" "{path}" /q')
    else:
        first = recorder.start(path, f'"{path}" ')
    with recorder.inside(first):
        steps = _shuffled(variant.steps, rng)
        for step in (*steps[:-1], *extra, *steps[-1:]):
            step(recorder)
    if noise:
        blocks.background(recorder)
        _lan_noise(run, rng)
    run.score = min(10.0, 0.8 * sum(SIGNATURES[key].severity - 1 for key in run.signatures))
    return run


def execute_nothing(sample: Sample, rng: Random) -> Run:
    """A run in which nearly nothing happened: the sample did not start, or waited for something that never came."""
    guest = make_guest(rng)
    started = _BEGINNING + timedelta(minutes=rng.randrange(60 * 24 * 30))
    return Run(sample, guest, started, duration=rng.randrange(20, 60))
