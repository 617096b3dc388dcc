// What is shown of the corpus: some of the points, those of a span of days, or all.
const filter = (function () {
  let points = null, from = -1, to = -1;
  const inTime = new Uint8Array(atlas.count).fill(1);
  const dayShown = (day) => from < 0 || (day >= from && day <= to);
  return {
    // points: a set, or null for all.
    choose(chosen) { points = chosen; },
    // The days between which an analysis must lie; -1 for all.
    span(first, last) {
      from = first; to = last;
      for (let p = 0; p < atlas.count; p++) {
        inTime[p] = 0;
        for (let a = atlas.starts[p]; a < atlas.starts[p + 1] && !inTime[p]; a++) inTime[p] = dayShown(atlas.analyses.days[a]) ? 1 : 0;
      }
    },
    get points() { return points; },
    isOn: () => points !== null || from >= 0,
    hasSpan: () => from >= 0,
    shows: (p) => inTime[p] === 1 && (points === null || points.has(p)),
    showsAnalysis: (a) => dayShown(atlas.analyses.days[a]) && (points === null || points.has(atlas.pointOf[a])),
    isInSpan: (a) => dayShown(atlas.analyses.days[a]),
  };
})();
