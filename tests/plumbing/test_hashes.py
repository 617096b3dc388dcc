"""Hashes that old models and stores hold: their values never change."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.plumbing.hashes import (
    behaviour_digest,
    joined_tokens,
    text_digest,
    text_hash,
    token_hash,
    token_hashes,
)
from cuckoo_ml_plugin.store.packed_behaviour import pack, unpack


def test_the_values_are_those_that_models_and_stores_hold() -> None:
    assert token_hash("mutex:zebra") == 17527670559906640102
    assert text_digest("mutex:zebra") == f"{17527670559906640102:016x}"
    assert text_hash("\ud800") == 15756832317056903632
    assert behaviour_digest(b"api:NtClose\nmutex:zebra") == "2a007cb10350f23943a258ef3c52805d"
    assert behaviour_digest(b"") == hashlib.blake2b(digest_size=16).hexdigest()


@given(st.sets(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map("mutex:{}".format)))
def test_a_behaviour_has_one_hash_a_token_and_one_digest_wherever_it_is_computed(names: set[str]) -> None:
    tokens = sorted(names)
    assert Behaviour(tokens, {}).hashes().tolist() == [token_hash(token) for token in tokens]
    assert token_hashes([token.encode() for token in tokens]).tolist() == [token_hash(token) for token in tokens]
    packed = pack(tokens, {})
    assert unpack(packed.blob)[0] == tokens
    assert packed.digest == behaviour_digest(joined_tokens(tokens)) == behaviour_digest("\n".join(tokens).encode())
