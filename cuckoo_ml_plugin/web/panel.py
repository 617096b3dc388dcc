"""The panel: the finding of one section, at a glance and in detail."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.engine.visibility import leaves_out
from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.finding.section import Finding, read_section
from cuckoo_ml_plugin.finding.threat import shown_threat_scores
from cuckoo_ml_plugin.finding.verdict import verdict_of
from cuckoo_ml_plugin.web.links import Links
from cuckoo_ml_plugin.web.render import Look, render

_REASONS = 1  # that are shown without a click
_SIMILAR = 3  # analyses that are shown without a click


@dataclass(frozen=True, slots=True)
class PanelView:
    """A section and the links of its panel; without ``links`` the panel stands alone."""

    section: Finding
    links: Links | None

    @classmethod
    def of(cls, raw: object, links: Links | None, engine: Engine | None, also: Iterable[str] = ()) -> PanelView:
        """From a section as a report or a database has it; one that cannot be read becomes one that failed.

        ``also``: further analyses that the page names.
        """
        try:
            section = read_section(raw)
        except ReportError as error:
            section = Finding(status="failed", message=str(error))
        section.threat_scores = shown_threat_scores(section)
        if links is not None and engine is not None:
            links.look_up(engine, [*also, *(similar.analysis for similar in section.similar)])
        return cls(section, links)

    def markup(self, look: Look) -> Markup:
        """The panel as part of another page."""
        return Markup(self.html(look))

    def html(self, look: Look, template: str = "panel.html") -> str:
        """The HTML of the panel, or of another template that shows the section."""
        reasons = self.section.anomaly.reasons if self.section.anomaly else []
        return render(
            template,
            look,
            section=self.section,
            links=self.links,
            verdict=self.section.verdict if self.section.verdict.text else verdict_of(self.section),
            shared=[piece for piece in self.section.evidence if piece.role == "shared"],
            new=[piece for piece in self.section.evidence if piece.role != "shared"],
            left_out=leaves_out(self.section),
            first_reasons=reasons[:_REASONS],
            other_reasons=reasons[_REASONS:],
            at_a_glance=_SIMILAR,
        )
