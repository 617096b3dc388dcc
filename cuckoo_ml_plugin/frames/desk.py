"""To be described."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine import queries as answers
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.finding.finding import Finding
from cuckoo_ml_plugin.frames.features import feature_frame
from cuckoo_ml_plugin.home import Home, default_home
from cuckoo_ml_plugin.intake.find_reports import report_at
from cuckoo_ml_plugin.plumbing.extras import desk_package
from cuckoo_ml_plugin.report.labels import Label, labels_of
from cuckoo_ml_plugin.report.report import Report, read_report, report_from_results

if TYPE_CHECKING:
    from cuckoo_ml_plugin.assess.assessment import Assessment
    from cuckoo_ml_plugin.export.results import Results
    from cuckoo_ml_plugin.fit.corpus import Corpus
    from cuckoo_ml_plugin.intake.import_reports import ImportResult
    from cuckoo_ml_plugin.landscape.landscape import Landscape
    from cuckoo_ml_plugin.store.store import Store


PathLike = str | os.PathLike[str]


ReportLike = PathLike | Mapping[str, Any]


_FINDING = ("cluster", "probability", "outlier_score", "anomaly_score", "anomalous")


_ALL = 1_000_000_000


class Desk:
    """A home at work. Methods raise CuckooMLError's kinds: one sentence that says what to do.

    Frames need pandas: ``pip install 'cuckoo-ml-plugin[desk]'``. Analyses are named by their ids, as everywhere.
    """

    def __init__(self, home: PathLike | None = None) -> None:
        """``home``: its folder; without it the one that the commands take by themselves."""
        self.engine = Engine(Home(Path(home).absolute() if home is not None else default_home()))
        self._scene: Landscape | None = None

    @property
    def store(self) -> Store:
        """The store, for what has no method here. Raises StoreError."""
        return self.engine.store

    # -- in -----------------------------------------------------------------------------------------------------------

    def load(self, paths: PathLike | Iterable[PathLike], labels: PathLike | None = None) -> ImportResult:
        """Import reports: files, folders of them, a host's analyses; ``labels``: a label file."""
        from cuckoo_ml_plugin.intake.import_reports import import_reports

        self._scene = None
        some = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        return import_reports(self.store, some, labels=labels)

    def set_labels(self, families: Mapping[str, str | None]) -> list[str]:
        """Your own labels by id or SHA-256, None to clear one; returns the names that nobody has."""
        self._scene = None
        return self.store.set_labels(families)

    # -- what is stored -----------------------------------------------------------------------------------------------

    def analyses(self) -> Any:
        """A frame of all analyses: what each is, and its latest finding."""
        pd = desk_package("pandas", "Data frames")
        columns = ("host", "sha256", "target", "label", "analysed_at", "stored_at", "machine", "has_behaviour")
        stored = list(self.store.analyses_in_order(behaviours=False))
        found = self.store.findings_of([one.analysis for one in stored])
        rows = [
            {"analysis": one.analysis, **{name: getattr(one, name) for name in columns}}
            | {name: getattr(found.get(one.analysis), name, None) for name in _FINDING}
            for one in stored
        ]
        frame = pd.DataFrame(rows, columns=["analysis", *columns, *_FINDING]).set_index("analysis")
        return frame.assign(anomalous=[value is True for value in frame["anomalous"]])

    def labels(self) -> Any:
        """The family of each analysis as a series, None where there is none."""
        return self.analyses()["label"]

    def features(self, category: str = "nominal", coverage: float = 0.0) -> Any:
        """A frame of features: see :func:`~cuckoo_ml_plugin.frames.features.feature_frame`."""
        return feature_frame(self.store, category, coverage)

    def vectors(self) -> Any:
        """A frame of the unit vectors that clusters were found in, a row for each fitted analysis: for maps of them."""
        pd = desk_package("pandas", "Data frames")
        results = self._results()
        return pd.DataFrame(results.vectors, index=pd.Index(results.corpus.analyses, name="analysis"))

    def behaviour(self, report: ReportLike) -> Behaviour:
        """Tokens and counts of a stored analysis, of a report file, or of a report as a dictionary."""
        stored = self.store.get(report) if isinstance(report, str) else None
        if stored is not None:
            tokens, counts = stored.unpack()
            return Behaviour(tokens, counts)
        return extract(_report(report))

    def labels_of(self, report: ReportLike) -> list[Label]:
        """The labels that a report brings, from every source that has one."""
        return labels_of(_report(report))

    # -- clusters -----------------------------------------------------------------------------------------------------

    def fit(self) -> Any:
        """Fit a model on everything stored, put it in force, and return its clusters."""
        from cuckoo_ml_plugin.fit.refit import refit

        refit(self.engine.home, self.store, self.engine.settings)
        return self.clusters()

    def clusters(self) -> Any:
        """A frame of the clusters in force: name, sizes, commonest label, days."""
        pd = desk_package("pandas", "Data frames")
        model, counts = self.engine.need_model(), self.store.cluster_counts()
        rows = [answers.cluster_brief(one, counts.get(one.id, 0)) for one in model.clusters]
        frame = pd.DataFrame(rows, columns=["id", "name", "size", "stored", "labels", "first_seen", "last_seen"])
        frame["label"] = [labels[0]["label"] if labels else None for labels in frame.pop("labels")]
        return frame.set_index("id")

    def clustering(self) -> Any:
        """The clustering in force as the seed kept it: ``label`` (-1 for noise), ``probability``, ``outlier_score``."""
        pd = desk_package("pandas", "Data frames")
        results = self._results()
        columns = {
            "label": results.cluster_ids(),
            "probability": results.probabilities,
            "outlier_score": results.outlier_scores,
        }
        return pd.DataFrame(columns, index=pd.Index(results.corpus.analyses, name="analysis"))

    def cluster(self, features: Any = "behaviour", algorithm: str = "hdbscan", **settings: Any) -> Any:
        """Cluster once more in another way; the model in force stays.

        Args:
            features: a feature set (``behaviour``, ``simple``, ``nominal``, ``numerical``, ``all``) in the plugin's own
                vectors, or a frame, whose rows are then clustered as they are, by hdbscan or scikit-learn, as the seed
                did.
            algorithm: ``hdbscan`` or ``dbscan``.
            settings: those of ``[clustering]``; for a frame those of the library.

        Returns:
            A frame with ``label``, ``probability`` and ``outlier_score``; of a frame by dbscan ``label`` alone.
        """
        from cuckoo_ml_plugin.frames.clusterings import cluster_frame, cluster_set

        if isinstance(features, str):
            return cluster_set(self._corpus(), features, self.engine.settings, algorithm, settings)
        return cluster_frame(features, algorithm, settings)

    def label_distribution(self) -> Any:
        """How many analyses of each label (``none`` has none) every cluster has, by its number; -1 is noise."""
        pd = desk_package("pandas", "Data frames")
        from cuckoo_ml_plugin.export.seed_files import label_distribution

        columns, rows = label_distribution(self._results())
        index = pd.Index([row[0] for row in rows], name="cluster_id").astype(int)
        return pd.DataFrame([row[1:] for row in rows], index=index, columns=columns[1:])

    # -- new analyses -------------------------------------------------------------------------------------------------

    def score(self, report: ReportLike) -> Finding:
        """The finding for a stored analysis, a report file, or a report as a dictionary; nothing is changed."""
        if isinstance(report, str) and (finding := self.engine.score_stored(report)) is not None:
            return finding
        name = report_at(report).analysis if isinstance(report, (str, os.PathLike)) else "?"
        return self.engine.score_report(_report(report), name)

    def write(self, report: PathLike) -> Finding:
        """Score a report file and write the section into it, whole or not at all."""
        from cuckoo_ml_plugin.report.writeback import write_section

        finding = self.engine.score_file(Path(report), report_at(report).analysis)
        section = finding.section()
        write_section(Path(report), section, self.engine.seed(section))
        return finding

    def similar(self, analysis: str) -> Any:
        """A frame of past analyses that behaved like one, most similar first."""
        pd = desk_package("pandas", "Data frames")
        columns = ["analysis", "similarity", "cluster", "label", "sha256"]
        return pd.DataFrame(self.score(analysis).similar, columns=columns).set_index("analysis")

    def compare(self, one: ReportLike, other: ReportLike) -> Any:
        """A frame of the behaviour of two analyses: kind and value of each token, and which of them shows it."""
        pd = desk_package("pandas", "Data frames")
        first, second = set(self.behaviour(one).tokens), set(self.behaviour(other).tokens)
        rows = [(*token.split(":", 1), token in first, token in second) for token in sorted(first | second)]
        return pd.DataFrame(rows, columns=["kind", "value", "one", "other"])

    # -- what is unusual ----------------------------------------------------------------------------------------------

    def anomalies(self, limit: int = _ALL) -> Any:
        """A frame of the anomalous analyses, most unusual first: score, cluster, label, the reasons as sentences."""
        pd = desk_package("pandas", "Data frames")
        rows = [one | {"reasons": " ".join(reason["text"] for reason in one["reasons"])}
                for one in answers.anomalies(self.engine, limit)]  # fmt: skip
        columns = ["analysis", "score", "cluster", "label", "target", "sha256", "stored_at", "reasons"]
        return pd.DataFrame(rows, columns=columns).set_index("analysis")

    def suspects(self) -> Any:
        """The seed's anomaly detection: the cluster of each analysis, and which of its four suspicions hold."""
        pd = desk_package("pandas", "Data frames")
        from cuckoo_ml_plugin.export.seed_files import ANOMALIES, anomalies

        frame = pd.DataFrame(anomalies(self._results(), self.engine.settings.anomaly), columns=["analysis", *ANOMALIES])
        frame = frame.set_index("analysis")
        suspicions = list(ANOMALIES[1:])
        frame[suspicions] = frame[suspicions].notna()
        return frame.astype({"cluster": int})

    def abnormal_counts(self) -> Any:
        """A frame of the counts: the analyses outside the outer fences of each, and outside the inner ones alone."""
        pd = desk_package("pandas", "Data frames")
        from cuckoo_ml_plugin.export.seed_files import outside_fences

        found = outside_fences(self._results())
        columns = ["outliers", "suspect_outliers"]
        return pd.DataFrame.from_dict(found, orient="index", columns=columns).rename_axis("count")

    # -- how good it is -----------------------------------------------------------------------------------------------

    def assess(self, resamples: int = 4) -> Assessment:
        """Judge the clustering in force, with labels and without; see ``cuckoo-ml assess``."""
        from cuckoo_ml_plugin.assess.assessment import assess_model

        return assess_model(self.engine.need_model(), self._corpus(), self.engine.settings, resamples)

    def measures(self, clustering: Any) -> Any:
        """A frame of measures of any clustering (a frame with ``label``, as :meth:`cluster` gives) against the labels.

        The columns are the seed's: ``clustering``, without noise, and ``clustering+noise``, noise as one cluster.
        """
        pd = desk_package("pandas", "Data frames")
        from cuckoo_ml_plugin.assess.measures import MEASURES, clustered_agreement

        labels = self.labels().reindex(clustering.index)
        known = [label if isinstance(label, str) else None for label in labels]
        found = clustered_agreement(known, clustering["label"].to_numpy(np.int64))
        columns = zip(("clustering", "clustering+noise"), found, strict=True)
        values = {name: [getattr(one, measure, None) for measure in MEASURES] for name, one in columns}
        return pd.DataFrame(values, index=list(MEASURES))

    def sweep(self, jobs: int = -1, least_clustered: float = 0.0, **grid: tuple[Any, ...]) -> Any:
        """A frame of trials: every combination of settings (see :class:`~cuckoo_ml_plugin.assess.sweep.Grid`).

        Those that cluster less than ``least_clustered`` of the analyses are left out.
        """
        pd = desk_package("pandas", "Data frames")
        from cuckoo_ml_plugin.assess.sweep import Grid, sweep

        found = sweep(self._corpus(), self.engine.settings, Grid(**grid), jobs=jobs)
        rows = [
            {"trial": one.name, "clusters": one.clusters, "clustered": one.clustered, **one.measures}
            for one in found.trials
            if one.clustered >= least_clustered
        ]
        return pd.DataFrame(rows).set_index("trial")

    # -- pictures -----------------------------------------------------------------------------------------------------

    def plot(self, name: str) -> Any:
        """A picture of the clustering in force, as a figure of matplotlib's; docs/commands.md lists the names."""
        from cuckoo_ml_plugin.plots import PLOTS

        if name not in PLOTS:
            raise CuckooMLError(f"There is no picture {name!r}; there are {', '.join(PLOTS)}.")
        return PLOTS[name](self._landscape())

    def plots(self, folder: PathLike, formats: str | Sequence[str] = ("png", "svg")) -> list[Path]:
        """Write all pictures into a folder; returns their paths."""
        from cuckoo_ml_plugin.plots import write_plots

        return list(write_plots(self._landscape(), Path(folder), formats))

    def atlas(self, path: PathLike = "atlas.html") -> Path:
        """Write the whole corpus as one page to explore in a browser; returns its path."""
        from cuckoo_ml_plugin.atlas.build import write_atlas

        write_atlas(self.engine, Path(path))
        return Path(path)

    # -- out ----------------------------------------------------------------------------------------------------------

    def export(self, folder: PathLike) -> list[Path]:
        """Write the seed's CSV files and the Parquet files; returns their paths."""
        from cuckoo_ml_plugin.export.write import write_tables

        return write_tables(self.engine, Path(folder))

    def export_cluster(self, cluster: str, folder: PathLike, tlp: str = "amber") -> list[Path]:
        """Write a cluster (id or name) as MISP event and STIX bundle; returns their paths."""
        from cuckoo_ml_plugin.export.write import write_cluster

        return write_cluster(self.engine, cluster, Path(folder), tlp)

    def _landscape(self) -> Landscape:
        """What pictures show; kept until model or labels change, for the map takes long."""
        from cuckoo_ml_plugin.landscape.landscape import landscape

        if self._scene is None or self._scene.model.id != self.engine.need_model().id:
            self._scene = landscape(self.engine)
        return self._scene

    def _corpus(self) -> Corpus:
        from cuckoo_ml_plugin.fit.corpus import read_corpus

        return read_corpus(self.store)

    def _results(self) -> Results:
        from cuckoo_ml_plugin.export.results import results_of

        return results_of(self.engine)


def _report(report: ReportLike) -> Report:
    if isinstance(report, Mapping):
        return report_from_results(report)
    if isinstance(report, str) and not os.path.exists(report):
        raise CuckooMLError(f"{report}: there is no such analysis in the store and no such file; check the id.")
    return read_report(Path(report))
