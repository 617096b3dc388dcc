"""Each of these things is defined in one place: the source of the package holds no second definition."""

from __future__ import annotations

import ast
import re

import pytest
from support.paths import REPOSITORY

PACKAGE = REPOSITORY / "cuckoo_ml_plugin"
SOURCES = {
    str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8")
    for path in sorted(PACKAGE.rglob("*.py"))
    if "cuckoo2" not in path.parts  # Python 2.7, which cannot import the package
}


def places(pattern: str) -> set[str]:
    return {name for name, source in SOURCES.items() if re.search(pattern, source)}


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        pytest.param(r"isprintable|REPLACEMENT CHARACTER|ufffd|U\+FFFD", {
            "plumbing/text.py",
            "behaviour/tokens/token_values.py",  # a fast test that nothing has to be replaced
            "report/files/bounded.py",  # JSON that is repaired before it is decoded
        }, id="text made fit to show"),
        pytest.param(r"mkstemp|NamedTemporaryFile|os\.(replace|rename|link)\(|\.write_(text|bytes)\(", {
            "plumbing/files.py",
            "intake/import_reports.py",  # a file that is only locked
        }, id="replacing a file whole"),
        pytest.param(r"xxh3_64|xxh64|xxh32", {"plumbing/hashes.py"}, id="hash of a token"),
        pytest.param(r"blake2b", {
            "plumbing/hashes.py",
            "fit/fit_model.py",  # the id of a model
        }, id="digest of a behaviour"),
        pytest.param(r"#0072b2|hls_to_rgb|hsl\(", {"landscape/colours.py"}, id="colour of a family"),
        pytest.param(r"[\"']host[\"'], *[\"']virustotal|ANALYST, HOST", {
            "report/labels.py",
        }, id="precedence of labels"),
    ],
)  # fmt: skip
def test_there_is_one_definition(pattern: str, allowed: set[str]) -> None:
    assert places(pattern) <= allowed


def test_paths_are_renamed_only_where_a_file_is_replaced_or_moved_aside() -> None:
    """``Path.rename`` and ``Path.replace``, which takes one argument where the others of that name take two."""
    renames = set()
    for name, source in SOURCES.items():
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            moves = node.func.attr == "replace" and len(node.args) == 1 and not node.keywords
            if moves or node.func.attr == "rename":
                renames.add(name)
    assert renames <= {
        "model/folder.py",  # a whole folder
        "plumbing/files.py",  # folders that change their names
        "engine/arrivals/spool.py",  # a file that nobody can read is moved aside
        "hosts/installation/host_files.py",  # a file that is moved aside, and back
    }
