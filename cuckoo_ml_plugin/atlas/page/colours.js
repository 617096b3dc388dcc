// The colours of points by cluster, kin, label, anomaly score or time. Those of families, clusters and kin come with the data.
const colours = (function () {
  const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // A scale from low to high after Crameri's batlow, which stays readable without colour vision.
  const stops = [[44, 62, 110], [33, 113, 138], [72, 150, 110], [170, 168, 62], [236, 160, 92], [250, 120, 60]];
  function ramp(share) {
    const at = Math.max(0, Math.min(1, share)) * (stops.length - 1), low = Math.min(Math.floor(at), stops.length - 2);
    const mixed = stops[low].map((channel, i) => Math.round(channel + (stops[low + 1][i] - channel) * (at - low)));
    return `rgb(${mixed.join(" ")})`;
  }
  const ofFamily = (family) => (family < 0 ? variable("--noise") : atlas.familyColours[family]);
  const { first, last } = atlas.days, STEPS = 24;
  // A mode gives the group of a point. One with named groups also gives the group of an analysis: a behaviour whose
  // analyses have several labels is drawn in the colour of the commonest, but belongs to the group of each.
  const modes = {
    cluster: {
      noun: "clusters", group: (p) => atlas.cluster[p], ofAnalysis: (a) => atlas.cluster[atlas.pointOf[a]],
      name: (group) => (group < 0 ? "no cluster" : atlas.clusters[group].name),
      colour: (group) => (group < 0 ? variable("--noise") : atlas.clusters[group].colour),
    },
    kin: {
      noun: "kin", group: (p) => atlas.kin[p], ofAnalysis: (a) => atlas.kin[atlas.pointOf[a]],
      name: (group) => (group < 0 ? "no kin" : atlas.kins[group].name),
      colour: (group) => (group < 0 ? variable("--noise") : atlas.kins[group].colour),
    },
    label: {
      noun: "labels", group: (p) => atlas.family[p], ofAnalysis: (a) => atlas.analyses.families[a],
      name: (group) => (group < 0 ? "no label" : atlas.families[group]),
      colour: ofFamily,
    },
    anomaly: {
      group: (p) => Math.floor(atlas.anomaly[p] * (STEPS - 0.001)),
      colour: (group) => ramp(group / (STEPS - 1)),
      ends: ["usual", "most unusual"],
    },
    time: {
      group: (p) => (atlas.day[p] < 0 ? -1 : Math.floor((STEPS - 0.001) * (last > first ? (atlas.day[p] - first) / (last - first) : 1))),
      colour: (group) => (group < 0 ? variable("--noise") : ramp(group / (STEPS - 1))),
      ends: last >= 0 ? [show.day(first), show.day(last)] : ["?", "?"],
    },
  };
  return { modes, ofFamily, ramp, variable };
})();
