"""The class that notebooks and programs use: a home, with each answer as a frame, a finding, a figure or paths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cuckoo_ml_plugin.behaviour.behaviour import Behaviour
from cuckoo_ml_plugin.behaviour.extract import extract
from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.queries import no_such_analysis
from cuckoo_ml_plugin.errors import CuckooMLError
from cuckoo_ml_plugin.finding.section import Finding
from cuckoo_ml_plugin.home import Home, default_home
from cuckoo_ml_plugin.intake.find_reports import report_at
from cuckoo_ml_plugin.report.labels import Label, labels_of
from cuckoo_ml_plugin.report.report import Report, read_report, report_from_results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from cuckoo_ml_plugin.assess.assessment import Assessment
    from cuckoo_ml_plugin.export.clustering_results import ClusteringResults
    from cuckoo_ml_plugin.fit.corpus import Corpus
    from cuckoo_ml_plugin.intake.import_reports import ImportResult
    from cuckoo_ml_plugin.landscape.landscape import Landscape
    from cuckoo_ml_plugin.store.store import Store

PathLike = str | os.PathLike[str]
ReportLike = PathLike | Mapping[str, Any]
"""A stored analysis by its id, a report file by its path, or a report as a dictionary."""

_ALL = 1_000_000_000


class Desk:
    """A home, for notebooks and programs: load reports, fit a model, and ask what the commands answer.

    Analyses are named by their ids. Frames are pandas frames; only methods that return one need pandas. A
    method that fails raises a :class:`~cuckoo_ml_plugin.errors.CuckooMLError`, whose message says what to do.

    >>> from cuckoo_ml_plugin import Desk
    >>> desk = Desk("cuckoo-ml-demo")
    >>> desk.cluster_table()["name"].head(3).tolist()
    ['velmora', 'sunbundle', 'velmora-2']
    >>> desk.cluster_memberships().loc[["1005", "1006"], "label"].tolist()
    [2, 8]
    >>> desk.score("cuckoo-ml-demo/demo/new/new-01.json").cluster.name
    'glacierlock-3'
    >>> desk.score("no-such-analysis")
    Traceback (most recent call last):
    cuckoo_ml_plugin.errors.CuckooMLError: no-such-analysis: ...
    """

    def __init__(self, home: PathLike | None = None) -> None:
        """``home``: its folder. The default is the commands' default: ``$CUCKOO_ML_HOME``, or ``~/.cuckoo-ml``."""
        self.engine = Engine(Home(Path(home).absolute() if home is not None else default_home()))
        self._last_landscape: Landscape | None = None

    @property
    def store(self) -> Store:
        """The store, for what this class has no method for. Raises StoreError."""
        return self.engine.store

    # -- fill the store -----------------------------------------------------------------------------------------------

    def load(self, paths: PathLike | Iterable[PathLike], labels: PathLike | None = None) -> ImportResult:
        """Import reports from files, folders or a host's ``storage/analyses``; ``labels`` is a label file."""
        from cuckoo_ml_plugin.intake.import_reports import import_reports

        self._last_landscape = None
        sources = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        return import_reports(self.store, sources, labels=labels)

    def set_labels(self, families: Mapping[str, str | None]) -> list[str]:
        """Set your own labels by id or SHA-256, or clear them with None; returns the names that are not stored."""
        self._last_landscape = None
        return self.store.set_labels(families)

    # -- what is stored -----------------------------------------------------------------------------------------------

    def analyses(self) -> pd.DataFrame:
        """A row for each stored analysis: its sample, its host, and its latest finding."""
        from cuckoo_ml_plugin.frames.analyses import analysis_frame

        return analysis_frame(self.store)

    def labels(self) -> pd.Series[str]:
        """The family of each analysis, None where it has none."""
        return self.analyses()["label"]

    def features(self, category: str = "nominal", coverage: float = 0.0) -> pd.DataFrame:
        """A row for each analysis, a column for each feature of a category that enough analyses have.

        Args:
            category: ``simple`` (signatures), ``nominal`` (tokens of every other kind), ``numerical`` (counts), ``all``
                (all three), ``static``, ``dynamic``, ``network`` (tokens of those kinds), or one kind of token.
            coverage: the share of the analyses that must have a feature for it to be a column.
        """
        from cuckoo_ml_plugin.frames.features import feature_frame

        return feature_frame(self.store, category, coverage)

    def vectors(self) -> pd.DataFrame:
        """A row for each fitted analysis: the unit vector by which it was clustered, for maps."""
        from cuckoo_ml_plugin.frames.clusters import vector_frame

        return vector_frame(self._results())

    def behaviour(self, report: ReportLike) -> Behaviour:
        """Tokens and counts of a stored analysis or a report."""
        stored = self.store.get(report) if isinstance(report, str) else None
        if stored is not None:
            return self.engine.behaviour_of(stored)
        return extract(self._read(report))

    def labels_of(self, report: ReportLike) -> list[Label]:
        """The labels that a report contains, from every source that names a family."""
        return labels_of(self._read(report))

    # -- clusters -----------------------------------------------------------------------------------------------------

    def fit(self) -> pd.DataFrame:
        """Fit a model on everything stored, put it in force, and return :meth:`cluster_table`."""
        from cuckoo_ml_plugin.fit.refit import refit

        refit(self.engine.home, self.store, self.engine.settings)
        return self.cluster_table()

    def cluster_table(self) -> pd.DataFrame:
        """A row for each cluster in force: name, sizes, first and last day, kin, commonest label."""
        from cuckoo_ml_plugin.frames.clusters import cluster_frame

        return cluster_frame(self.engine)

    clusters = cluster_table

    def kin_table(self) -> pd.DataFrame:
        """A row for each kin in force, the broad groups above the clusters: name, sizes, days, its clusters, label."""
        from cuckoo_ml_plugin.frames.clusters import kin_frame

        return kin_frame(self.engine)

    def cluster_memberships(self) -> pd.DataFrame:
        """A row for each fitted analysis: the number of its cluster, its membership probability, its outlier score.

        The columns are CuckooML's: ``label`` (-1 for noise), ``probability``, ``outlier_score``; then the number of its
        kin, ``kin`` (-1 for none).
        """
        from cuckoo_ml_plugin.frames.clusters import membership_frame

        return membership_frame(self._results())

    clustering = cluster_memberships

    def try_clustering(
        self, features: str | pd.DataFrame = "behaviour", algorithm: str = "hdbscan", **settings: object
    ) -> pd.DataFrame:
        """Cluster the stored analyses in another way, without touching the model in force.

        Args:
            features: a feature set (``behaviour``, ``simple``, ``nominal``, ``numerical``, ``all``), clustered in the
                plugin's own vectors; or a frame, whose rows hdbscan or scikit-learn cluster as they are, as in
                CuckooML.
            algorithm: ``hdbscan`` or ``dbscan``.
            settings: settings of ``[clustering]``; for a frame, parameters of the library's class.

        Returns:
            A frame like :meth:`cluster_memberships`; for a frame clustered by DBSCAN, ``label`` alone.
        """
        from cuckoo_ml_plugin.frames.trials import cluster_feature_set, cluster_rows

        if isinstance(features, str):
            return cluster_feature_set(self._corpus(), features, self.engine.settings, algorithm, settings)
        return cluster_rows(features, algorithm, settings)

    cluster = try_clustering

    def label_distribution(self) -> pd.DataFrame:
        """A row for each cluster number (-1 for noise), a column for each label (``none`` for no label): sizes."""
        from cuckoo_ml_plugin.frames.clusters import label_frame

        return label_frame(self._results())

    # -- new analyses -------------------------------------------------------------------------------------------------

    def score(self, report: ReportLike) -> Finding:
        """The finding for a stored analysis or a report; nothing is changed."""
        if isinstance(report, str) and (finding := self.engine.score_stored(report)) is not None:
            return finding
        path = Path(report) if isinstance(report, (str, os.PathLike)) else None
        return self.engine.score_report(self._read(report), report_at(path).analysis if path else "?", path)

    def write(self, report: PathLike) -> Finding:
        """Score a report file and write the section into it; a failure leaves the file as it was."""
        from cuckoo_ml_plugin.engine.visibility import section_for_report
        from cuckoo_ml_plugin.report.files.writeback import write_section

        analysis = report_at(report).analysis
        finding = self.engine.score_file(Path(report), analysis)
        section = section_for_report(self.engine, finding.section(), analysis)
        write_section(Path(report), section, self.engine.seed(section))
        return finding

    def similar(self, analysis: str) -> pd.DataFrame:
        """A row for each past analysis that behaved like this one, the most similar first."""
        from cuckoo_ml_plugin.frames.analyses import similar_frame

        return similar_frame(self.score(analysis).similar)

    def compare(self, one: ReportLike, other: ReportLike) -> pd.DataFrame:
        """A row for each token of two analyses: kind, value, which of the two has it, and whether it is background.

        Background is what a machine shows by itself, as far as the model in force has learnt it.
        """
        from cuckoo_ml_plugin.frames.analyses import comparison_frame

        return comparison_frame(self.behaviour(one), self.behaviour(other), self.engine.model())

    # -- what is unusual ----------------------------------------------------------------------------------------------

    def anomalies(self, limit: int = _ALL) -> pd.DataFrame:
        """A row for each anomalous analysis, the most unusual first: score, cluster, label, reasons."""
        from cuckoo_ml_plugin.frames.anomalies import anomaly_frame

        return anomaly_frame(self.engine, limit)

    def suspects(self) -> pd.DataFrame:
        """CuckooML's anomaly detection: the cluster of each analysis, and which of its four suspicions hold."""
        from cuckoo_ml_plugin.frames.anomalies import suspect_frame

        return suspect_frame(self._results(), self.engine.settings.anomaly)

    def abnormal_counts(self) -> pd.DataFrame:
        """A row for each count: the analyses outside its outer fences, and those outside its inner fences alone."""
        from cuckoo_ml_plugin.frames.anomalies import abnormal_count_frame

        return abnormal_count_frame(self._results())

    # -- how good a clustering is -------------------------------------------------------------------------------------

    def assess(self, resamples: int = 4) -> Assessment:
        """Judge the clustering in force, with labels and without; see ``cuckoo-ml assess``."""
        from cuckoo_ml_plugin.assess.assessment import assess_model

        return assess_model(self.engine.require_model(), self._corpus(), self.engine.settings, resamples)

    def measures(self, clustering: pd.DataFrame) -> pd.DataFrame:
        """A row for each measure of a clustering, such as :meth:`try_clustering` returns, against the labels.

        The columns are CuckooML's: ``clustering`` leaves noise out, ``clustering+noise`` counts it as one cluster.
        """
        from cuckoo_ml_plugin.frames.quality import measure_frame

        return measure_frame(clustering, self.labels())

    def sweep(self, jobs: int = -1, least_clustered: float = 0.0, **grid: tuple[Any, ...]) -> pd.DataFrame:
        """A row for each combination of settings (see :class:`~cuckoo_ml_plugin.assess.sweep.Grid`).

        Combinations that cluster less than ``least_clustered`` of the analyses are left out.
        """
        from cuckoo_ml_plugin.assess.sweep import Grid, sweep
        from cuckoo_ml_plugin.fit.fit_model import require_enough
        from cuckoo_ml_plugin.frames.quality import trial_frame

        corpus = self._corpus()
        require_enough(len(corpus.analyses), self.engine.settings)
        trials = sweep(corpus, self.engine.settings, Grid(**grid), jobs=jobs)
        return trial_frame(trials, least_clustered)

    # -- figures and pages --------------------------------------------------------------------------------------------

    def plot(self, name: str) -> Figure:
        """One figure of the clustering in force; docs/commands.md lists the names."""
        from cuckoo_ml_plugin.plots import PLOTS

        if name not in PLOTS:
            raise CuckooMLError(f"There is no plot {name!r}; choose one of {', '.join(PLOTS)}.")
        figure: Figure = PLOTS[name](self._landscape())
        return figure

    def plots(self, folder: PathLike, formats: str | Sequence[str] = ("png", "svg")) -> list[Path]:
        """Write all figures into a folder; returns their paths."""
        from cuckoo_ml_plugin.plots import write_plots

        return list(write_plots(self._landscape(), Path(folder), formats))

    def atlas(self, path: PathLike = "atlas.html") -> Path:
        """Write the whole corpus as one page to explore in a browser; returns its path."""
        from cuckoo_ml_plugin.atlas.html_page import write_atlas

        write_atlas(self.engine, Path(path))
        return Path(path)

    # -- files for other tools ----------------------------------------------------------------------------------------

    def export(self, folder: PathLike) -> list[Path]:
        """Write CuckooML's CSV files and the Parquet files; returns their paths. Warns where pyarrow is missing."""
        from cuckoo_ml_plugin.export.export_files import write_tables

        return write_tables(self.engine, Path(folder))

    def export_cluster(self, cluster: str, folder: PathLike, tlp: str = "amber") -> list[Path]:
        """Write a cluster (id or name) as a MISP event and a STIX bundle; returns their paths.

        Warns where one of the packages pymisp and stix2 is missing, and raises where both are.
        """
        from cuckoo_ml_plugin.export.export_files import write_cluster

        return write_cluster(self.engine, cluster, Path(folder), tlp)

    def _landscape(self) -> Landscape:
        """The layout behind the figures, kept until model or labels change because its map takes long."""
        from cuckoo_ml_plugin.landscape.landscape import landscape

        if self._last_landscape is None or self._last_landscape.model.id != self.engine.require_model().id:
            self._last_landscape = landscape(self.engine)
        return self._last_landscape

    def _corpus(self) -> Corpus:
        from cuckoo_ml_plugin.fit.corpus import read_corpus

        return read_corpus(self.store)

    def _results(self) -> ClusteringResults:
        from cuckoo_ml_plugin.export.clustering_results import read_results

        return read_results(self.engine)

    def _read(self, report: ReportLike) -> Report:
        if isinstance(report, Mapping):
            return report_from_results(report)
        if isinstance(report, str) and not os.path.exists(report):
            raise no_such_analysis(self.engine, report)
        return read_report(Path(report))
