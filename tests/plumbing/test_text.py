"""Text from malware: what a person sees of it, and what a database takes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from cuckoo_ml_plugin.cli import console
from cuckoo_ml_plugin.plots import style
from cuckoo_ml_plugin.plumbing.text import display_text, printable, storable
from cuckoo_ml_plugin.web import format as web_format

UNPRINTABLE = [
    "\x00",
    "\n",
    "\x1b",
    "\x7f",
    "\x9b",
    "\u00a0",
    "\u200f",
    "\u2028",
    "\u202e",
    "\u2066",
    "\ue000",
    "\ud800",
]


@pytest.mark.parametrize("character", UNPRINTABLE, ids=ascii)
def test_terminals_pages_and_plots_have_the_same_policy(character: str) -> None:
    name, expected = f"a{character}b", "a\ufffdb"
    assert printable(name) == expected
    assert display_text(name, 10) == expected
    assert console.safe_text(name) == Text(expected)
    assert web_format.shown(name) == expected
    assert style.name_of(name) == expected


@given(st.text(st.characters()), st.integers(1, 40))
def test_displayed_text_is_printable_and_within_its_limit(text: str, limit: int) -> None:
    shown = display_text(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    assert shown.endswith("…") == (len(text) > limit) or text.endswith("…")


@given(st.text(st.characters()))
def test_stored_text_is_what_a_database_takes_and_ordinary_text_is_kept(text: str) -> None:
    stored = storable(text)
    assert "\x00" not in stored
    assert stored.encode().decode() == stored
    assert storable(stored) == stored, "an id that was stored is found again"
    if text.isprintable():
        assert stored == text[:300]
