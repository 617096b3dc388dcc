"""The panel: what one section says, at a glance and in detail."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from cuckoo_ml_plugin.engine.engine import Engine
from cuckoo_ml_plugin.errors import ReportError
from cuckoo_ml_plugin.finding.section import Section, read_section
from cuckoo_ml_plugin.web.links import Links
from cuckoo_ml_plugin.web.render import Look, render

_AT_A_GLANCE = 2  # reasons that are shown without a click


@dataclass(frozen=True, slots=True)
class PanelView:
    """A section with where its links go; without ``links`` it stands alone."""

    section: Section
    links: Links | None

    @classmethod
    def of(cls, raw: object, links: Links | None, engine: Engine | None) -> PanelView:
        """From a section as a report or a database has it; what cannot be read becomes one that failed."""
        try:
            section = read_section(raw)
        except ReportError as error:
            section = Section("failed", str(error))
        if links is not None and engine is not None:
            links.look_up(engine, [one.analysis for one in section.similar])
        return cls(section, links)

    def markup(self, look: Look) -> Markup:
        """The panel, for a page of ours."""
        return Markup(self.html(look))

    def html(self, look: Look, template: str = "panel.html") -> str:
        """The panel, or another view of the section."""
        reasons = self.section.anomaly.reasons if self.section.anomaly else []
        return render(
            template,
            look,
            section=self.section,
            links=self.links,
            verdict=verdict(self.section),
            first_reasons=reasons[:_AT_A_GLANCE],
            other_reasons=reasons[_AT_A_GLANCE:],
        )


def verdict(section: Section) -> str:
    """One sentence: seen before, how sure, unlike anything known?"""
    if section.status != "scored":
        return section.message
    unusual = section.anomaly is not None and section.anomaly.anomalous
    if section.cluster is None:
        return "Unlike anything known." if unusual else "Belongs to no group of past analyses, but is not unusual."
    if unusual:
        return "Near a group of past analyses, yet it does what they do not."
    return "Seen before: it behaves like a group of past analyses."
