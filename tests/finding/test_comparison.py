"""What a run did beside others: each piece of behaviour stands in the one list where it belongs."""

from __future__ import annotations

from typing import Any

import pytest

from cuckoo_ml_plugin.finding.comparison import MAX_VALUE, compared

BOTH = "mutex:both"


def values(answer: dict[str, Any], part: str) -> list[str]:
    return [piece["value"] for piece in answer[part]["shown"]]


def test_each_piece_is_in_one_list() -> None:
    others = [{BOTH, "mutex:theirs", "mutex:sometimes"}, {BOTH, "mutex:theirs"}]
    answer = compared({BOTH, "mutex:mine", "mutex:sometimes"}, others, 10)
    assert values(answer, "always") == ["both"]
    assert values(answer, "sometimes") == ["sometimes"]
    assert values(answer, "only_here") == ["mine"]
    assert values(answer, "lacking") == ["theirs"]
    assert answer["lacking"]["shown"][0]["analyses"] == 2


@pytest.mark.parametrize(
    ("n", "doing", "lacks"), [(15, 14, True), (15, 12, False), (5, 4, True), (4, 3, False), (1, 1, True)]
)
def test_nearly_all_kin_write_files_and_this_run_wrote_none(n: int, doing: int, lacks: bool) -> None:
    others = [{BOTH, "file_written:%temp%\\a.txt"} if i < doing else {BOTH} for i in range(n)]
    answer = compared({BOTH}, others, 10)
    assert {"deed": "write files", "analyses": doing, "here": False} in answer["deeds"]
    assert ("write files" in answer["differs_in"]) is lacks
    assert bool(answer["lacking"]["count"]) is lacks
    assert answer["sometimes"]["count"] == (0 if lacks else 1)


def test_facts_of_the_file_and_what_every_program_causes_are_left_out() -> None:
    run = {"section:.text", "string:abc", "library:kernel32.dll", BOTH}
    answer = compared(run, [{BOTH}], 10)
    assert answer["only_here"] == {"count": 0, "shown": []}


def test_lists_and_values_are_bounded() -> None:
    answer = compared({f"mutex:{i:03}{'x' * 5000}" for i in range(100)}, [{BOTH}], 7)
    assert answer["only_here"]["count"] == 100
    assert len(values(answer, "only_here")) == 7
    assert {len(value) for value in values(answer, "only_here")} == {MAX_VALUE}
