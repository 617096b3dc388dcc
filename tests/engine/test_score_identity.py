"""`cuckoo-ml score FILE` takes label and place of the run in the file, never those of what has its path or number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.command import cuckoo_ml
from support.demo_home import DemoHome

from cuckoo_ml_plugin.frames.desk import Desk

ANALYST = "wrongfamily"


class Ours:
    """A home where 17 is a labelled analysis, and the file that it was read from. ``other`` behaves much like it."""

    def __init__(self, demo: DemoHome, folder: Path, *, anonymous: bool) -> None:
        """``anonymous``: no report says of what it is, and when that was."""
        self.home, self.path = demo.home, folder / "ours" / "17.json"
        paths = {sample.name: sample.path for sample in demo.corpus.fitted}
        name = next(sample.name for sample in demo.corpus.fitted if sample.role == "mislabelled")
        self.own, self.other = (self._report(paths[name], anonymous) for _ in range(2))
        self.other["signatures"] = []
        if not anonymous:
            self.other["target"]["file"]["sha256"] = "ab" * 32
        self.path.parent.mkdir()
        self.path.write_text(json.dumps(self.own))
        labels = folder / "labels.tsv"
        labels.write_text(f"17\t{ANALYST}\n")
        for arguments in (("forget", name), ("import", self.path, "--labels", labels), ("refit",)):
            done = cuckoo_ml(self.home, *arguments)
            assert done.code == 0, done.err

    @staticmethod
    def _report(path: Path, anonymous: bool) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(path.read_bytes())
        report["info"]["id"] = 17
        if anonymous:
            report["info"].pop("started", None)
            del report["target"]
        return report

    def scored(self, path: Path) -> tuple[bool, bool]:
        """Whether the finding for a file rests on the label of 17, and whether 17 is a past analysis to it.

        The command and the Python API must answer the same.
        """
        done = cuckoo_ml(self.home, "score", path, "--json")
        assert done.code == 0, done.err
        [finding] = done.json
        assert finding["status"] == "scored"
        of_desk = Desk(self.home).score(path).section()
        assert (of_desk["anomaly"], of_desk["similar"]) == (finding["anomaly"], finding["similar"])
        reasons = " ".join(reason["text"] for reason in finding["anomaly"]["reasons"])
        return ANALYST in reasons, "17" in [past["analysis"] for past in finding["similar"]]


ITSELF, ANOTHER = (True, False), (False, True)


@pytest.mark.parametrize("anonymous", [False, True], ids=["dated", "anonymous"])
def test_a_file_with_the_path_or_the_number_of_a_labelled_analysis_is_another(
    own_demo: DemoHome, tmp_path: Path, anonymous: bool
) -> None:
    ours = Ours(own_demo, tmp_path, anonymous=anonymous)
    assert ours.scored(ours.path) == ITSELF
    from_colleague = tmp_path / "theirs" / "17.json"
    from_colleague.parent.mkdir()
    from_colleague.write_text(json.dumps(ours.other))
    assert ours.scored(from_colleague) == ANOTHER, "the same number"
    in_host = tmp_path / "analyses" / "17" / "reports" / "report.json"
    in_host.parent.mkdir(parents=True)
    in_host.write_text(json.dumps(ours.other))
    assert ours.scored(in_host) == ANOTHER, "the same task number"
    ours.path.write_text(json.dumps(ours.other))
    assert ours.scored(ours.path) == ANOTHER, "the same path"


def test_the_run_keeps_its_label_wherever_its_report_lies(own_demo: DemoHome, tmp_path: Path) -> None:
    ours = Ours(own_demo, tmp_path, anonymous=False)
    archived = tmp_path / "archive-2031.json"
    ours.path.rename(archived)
    assert ours.scored(archived) == ITSELF
    again = ours.own | {"info": ours.own["info"] | {"started": "2035-06-07 08:09:10"}}
    archived.write_text(json.dumps(again))
    assert ours.scored(archived) == ANOTHER, "a later run of the same sample"
