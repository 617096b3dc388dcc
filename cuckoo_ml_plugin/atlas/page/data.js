// The data from the page's script element, with long columns as typed arrays.
function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Kind(bytes.buffer);
}
const atlas = (function () {
  const raw = JSON.parse(document.getElementById("data").textContent);
  const shares = (text) => Float32Array.from(unpack(text, Uint16Array), (value) => value / 65535);
  const places = unpack(raw.points.places, Uint16Array);
  const count = places.length / 2;
  const x = new Float32Array(count), y = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    x[i] = places[2 * i] / 32767.5 - 1;
    y[i] = 1 - places[2 * i + 1] / 32767.5;
  }
  const analyses = {
    ids: raw.analyses.ids, sha256: raw.analyses.sha256, targets: raw.analyses.targets,
    families: unpack(raw.analyses.families, Int32Array), days: unpack(raw.analyses.days, Int32Array),
  };
  const starts = unpack(raw.points.starts, Int32Array);
  const pointOf = new Int32Array(analyses.ids.length);
  const family = new Int32Array(count).fill(-1), day = new Int32Array(count).fill(-1);
  for (let p = 0; p < count; p++) {
    for (let a = starts[p]; a < starts[p + 1]; a++) {
      pointOf[a] = p;
      day[p] = Math.max(day[p], analyses.days[a]);
    }
    family[p] = commonest(analyses.families.subarray(starts[p], starts[p + 1]));
  }
  // The commonest label of a behaviour, the first one in a tie; -1 if no analysis has a label.
  function commonest(families) {
    let best = -1, most = 0;
    const times = new Map();
    for (const family of families) {
      if (family < 0) continue;
      times.set(family, (times.get(family) || 0) + 1);
      if (times.get(family) > most) { most = times.get(family); best = family; }
    }
    return best;
  }
  const days = { first: Infinity, last: -1 };
  for (const day of analyses.days) if (day >= 0) { days.first = Math.min(days.first, day); days.last = Math.max(days.last, day); }
  if (days.last < 0) days.first = -1;
  const alike = unpack(raw.points.alike, Int32Array);
  return {
    model: raw.model, threshold: raw.threshold, clusters: raw.clusters, kins: raw.kins, families: raw.families, familyColours: raw.colours, behaviours: raw.behaviours, newer: raw.newer, analyses, days, pointOf, starts,
    tree: raw.tree, counts: raw.counts, anomalies: raw.anomalies, anomalous: raw.anomalous, reasons: raw.reasons, count, x, y, family, day,
    cluster: unpack(raw.points.clusters, Int32Array), kin: unpack(raw.points.kins, Int32Array), certainty: shares(raw.points.certainties),
    anomaly: shares(raw.points.anomalies), outlier: shares(raw.points.outliers),
    alike, perPoint: count ? alike.length / count : 0, similarity: shares(raw.points.similarities),
    size: (p) => starts[p + 1] - starts[p],
  };
})();

// Numbers as text. The anomaly score is cut, not rounded, so that only a score of 1 reads 100 %.
const show = {
  number: (value) => value.toLocaleString("en"),
  percent: (share, digits = 0) => (share * 100).toFixed(digits) + " %",
  score: (share) => (Math.floor(share * 1000 + 0.01) / 10).toFixed(1) + " %",
  day: (day) => (day < 0 ? "?" : new Date(day * 86400000).toISOString().slice(0, 10)),
  days: (p) => { const days = [...atlas.analyses.days.subarray(atlas.starts[p], atlas.starts[p + 1])].sort((a, b) => a - b); return show.span(show.day(days[0]), show.day(days[days.length - 1])); },
  span: (first, last) => (first === last ? first : `${first} to ${last}`),
  compact: (value) => (Math.abs(value) >= 1e4 ? value.toLocaleString("en", { notation: "compact" }) : value.toLocaleString("en", { maximumFractionDigits: 2 })),
};
