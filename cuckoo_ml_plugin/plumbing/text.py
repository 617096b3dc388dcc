"""Text from malware and file systems: what is shown of it, and what a database takes of it.

One policy holds wherever such text leaves us: in a terminal, on a page, in a plot or a message, and in report sections,
files and JSON for other programs, which show it to somebody in the end. Each character that is not printable
(:meth:`str.isprintable`) becomes U+FFFD. These are control characters, line separators, direction marks such as U+202E,
lone surrogates, private use and every space but the plain one. A text that has a limit is then cut and ends with an
ellipsis. What draws text may restrict it further: web pages stack no more than three accents, plots leave out letters
that their font lacks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cuckoo_ml_plugin.plumbing.hashes import text_digest

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
ELLIPSIS: Final = "…"
MAX_TEXT: Final = 300  # characters of a text in the store
MAX_VALUE: Final = 300  # characters of a token's value; a longer one is cut and ends with a hash of the whole
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(text: str) -> str:
    """``text`` by the policy above, of the same length."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else REPLACEMENT for character in text)


def printable_values(value: Any) -> Any:
    """A value of JSON in which every text, also as a key, is :func:`printable`."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {printable_values(key): printable_values(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable_values(part) for part in value]
    return value


def display_text(value: object, limit: int) -> str:
    """A value by the policy above, at most ``limit`` characters; a longer one is cut and ends with an ellipsis."""
    text = printable(str(value)[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 1]}{ELLIPSIS}"


def storable(value: object, limit: int = MAX_TEXT) -> str:
    """A value as every database takes it: no control characters, no lone surrogates, cut at ``limit`` characters.

    Ids and columns of existing stores depend on it, so it removes no more than that and keeps, for example, U+202E.
    The result still has to pass :func:`printable` or :func:`display_text` before a person sees it.
    """
    text = str(value)[: limit + 1]
    if not text.isprintable():
        text = _CONTROL.sub("", text.encode("utf-8", "replace").decode())
    return text[:limit]


def samples_and_runs(samples: int | None, runs: int) -> str:
    """How many samples there are, and how many analyses ran them: ``4 samples, 9 runs``; equal numbers are said once.

    ``samples``: None where it is not known, as in what an older version wrote.
    """
    if samples is None:
        return f"{runs:,} {'analysis' if runs == 1 else 'analyses'}"
    noun = f"{samples:,} {'sample' if samples == 1 else 'samples'}"
    return noun if samples == runs else f"{noun}, {runs:,} {'run' if runs == 1 else 'runs'}"


def bounded(value: str) -> str:
    """``value``, or of a longer one the beginning and a hash of the whole: at most ``MAX_VALUE`` characters."""
    return value if len(value) <= MAX_VALUE else f"{value[: MAX_VALUE - 17]}~{text_digest(value)}"


def counted(number: int, noun: str, nouns: str = "") -> str:
    """A number with its noun: ``counted(1, "cluster")`` is "1 cluster"; ``nouns``: the plural where it is no "-s".

    >>> counted(1, "analysis", "analyses"), counted(1204, "cluster")
    ('1 analysis', '1,204 clusters')
    """
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"
