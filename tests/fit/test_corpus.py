"""The corpus that a refit reads from the store."""

from __future__ import annotations

import pytest
from support.demo_home import DemoHome

from cuckoo_ml_plugin.fit import corpus
from cuckoo_ml_plugin.store.store import Store


def test_a_store_read_in_parts_gives_the_same_corpus(demo: DemoHome, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(demo.home / "store.db")
    whole = corpus.read_corpus(store)
    monkeypatch.setattr(corpus, "_PARALLEL_FROM", 100)
    parts = corpus.read_corpus(store)
    assert parts.analyses == whole.analyses
    assert (parts.hashes == whole.hashes).all()
    assert (parts.tokens != whole.tokens).nnz == 0
