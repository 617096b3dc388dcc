"""The example notebooks: the showcase runs from top to bottom, and RISS keeps the figures of the documentation."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from support.paths import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.ipynb"))


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def _read(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def text_of(notebook: Any) -> str:
    plain = (output.get("data", {}).get("text/plain", output.get("text", "")) for output in outputs(notebook))
    return "\n".join(plain)


def test_the_showcase_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = _read(REPOSITORY / "examples" / "showcase.ipynb")
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute(env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)})
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert len(pictures) == 6
    text = text_of(notebook)
    assert "320 analyses stored" in text
    truth, cluster = re.findall(r"in truth (\w+); cluster (\w+)", text)[0]
    assert cluster == truth
    assert re.search(r"in truth \w+; cluster: None; anomalous: True", text)
    assert re.search(r"domain-name:value = '\w+\.glacierlock\.test'", text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_outputs_are_kept_from_one_run_and_name_no_machine(path: Path) -> None:
    notebook = _read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not any(output.output_type == "error" for output in outputs(notebook))
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|usr)/", text_of(notebook))


def test_the_notebook_on_riss_kept_the_figures_of_the_documentation() -> None:
    kept = text_of(_read(REPOSITORY / "examples" / "riss.ipynb"))
    quality = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8").partition("## Quality")[2]
    page = quality.partition("### ")[0]
    rows = re.findall(r"^\|.+\|$", page, re.MULTILINE)
    figures = {figure for row in rows for figure in re.findall(r"0\.\d{3,4}", row)}
    assert len(figures) >= 20
    assert figures <= set(re.findall(r"0\.\d{3,4}", kept))
