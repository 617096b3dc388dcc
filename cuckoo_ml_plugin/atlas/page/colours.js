// The colours of points by cluster, kin, label, anomaly score or time: first Okabe and Ito's palette, then the circle of hues.
const colours = (function () {
  const palette = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a900", "#8c6bb1", "#8c564b"];
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function ofNumber(number) {
    if (number < palette.length) return palette[number];
    const hue = (number * 222.4922) % 360, light = 42 + 9 * (number % 3);
    return `hsl(${hue.toFixed(0)} 55% ${light}%)`;
  }
  // A scale from low to high after Crameri's batlow, which stays readable without colour vision.
  const stops = [[44, 62, 110], [33, 113, 138], [72, 150, 110], [170, 168, 62], [236, 160, 92], [250, 120, 60]];
  function ramp(share) {
    const at = Math.max(0, Math.min(1, share)) * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
    const mixed = stops[low].map((channel, i) => Math.round(channel + (stops[low + 1][i] - channel) * (at - low)));
    return `rgb(${mixed.join(" ")})`;
  }
  const totals = new Map();
  let unlabelled = 0;
  for (const family of atlas.analyses.families) if (family >= 0) totals.set(family, (totals.get(family) || 0) + 1); else unlabelled += 1;
  const noise = atlas.pointOf.reduce((sum, p) => sum + (atlas.cluster[p] < 0 ? 1 : 0), 0);
  const kinless = atlas.pointOf.reduce((sum, p) => sum + (atlas.kin[p] < 0 ? 1 : 0), 0);
  const commonest = [...totals.entries()].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  const rank = new Map(commonest.map(([family], i) => [family, i]));
  const days = atlas.analyses.days.filter((day) => day >= 0);
  let first = Infinity, last = -Infinity;
  for (const day of days) { first = Math.min(first, day); last = Math.max(last, day); }
  const STEPS = 24;
  // A mode gives the group of a point. A mode with named groups also lists them, each with its number of analyses.
  // A behaviour whose analyses have several labels is drawn in the colour of the commonest, but belongs to the group of each.
  const modes = {
    cluster: {
      group: (p) => atlas.cluster[p],
      listed: () => [...(noise ? [[-1, noise]] : []), ...atlas.clusters.map((cluster, number) => [number, cluster.size])],
      name: (group) => (group < 0 ? "no cluster" : atlas.clusters[group].name),
      colour: (group) => (group < 0 ? variable("--noise") : ofNumber(group)),
    },
    kin: {
      group: (p) => atlas.kin[p],
      listed: () => [...(kinless ? [[-1, kinless]] : []), ...atlas.kins.map((kin, number) => [number, kin.size])],
      name: (group) => (group < 0 ? "no kin" : atlas.kins[group].name),
      colour: (group) => (group < 0 ? variable("--noise") : ofNumber(group)),
    },
    label: {
      group: (p) => (rank.has(atlas.family[p]) ? rank.get(atlas.family[p]) : -1),
      has: (p, group) => {
        for (let a = atlas.starts[p]; a < atlas.starts[p + 1]; a++) {
          const family = atlas.analyses.families[a];
          if ((family < 0 ? -1 : rank.get(family)) === group) return true;
        }
        return false;
      },
      listed: () => [...(unlabelled ? [[-1, unlabelled]] : []), ...commonest.map(([, count], group) => [group, count])],
      name: (group) => (group < 0 ? "no label" : atlas.families[commonest[group][0]]),
      colour: (group) => (group < 0 ? variable("--noise") : ofNumber(group)),
    },
    anomaly: {
      group: (p) => Math.floor(atlas.anomaly[p] * (STEPS - 0.001)),
      colour: (group) => ramp(group / (STEPS - 1)),
      ends: ["usual", "most unusual"],
    },
    time: {
      group: (p) => (atlas.day[p] < 0 ? -1 : Math.floor((STEPS - 0.001) * (last > first ? (atlas.day[p] - first) / (last - first) : 1))),
      colour: (group) => (group < 0 ? variable("--noise") : ramp(group / (STEPS - 1))),
      ends: days.length ? [show.day(first), show.day(last)] : ["?", "?"],
    },
  };
  return { modes, ofNumber, ramp, variable, familyColour: (family) => (rank.has(family) ? ofNumber(rank.get(family)) : variable("--noise")) };
})();
