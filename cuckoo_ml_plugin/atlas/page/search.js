// The search: by id, hash, target, label, cluster, kin, and by any behaviour.
const search = (function () {
  const texts = atlas.behaviours.texts, lower = texts.map((text) => text.toLowerCase());
  const numbers = new Map(texts.map((text, number) => [text, number]));
  const sizes = unpack(atlas.behaviours.sizes, Int32Array), points = new Int32Array(sizes.reduce((sum, size) => sum + size, 0));
  const starts = new Int32Array(texts.length + 1);
  // The points of each token ascend. The data has the steps between them: seven bits a byte, the lowest first.
  const bytes = atob(atlas.behaviours.steps);
  for (let number = 0, at = 0, byte = 0; number < texts.length; number++) {
    starts[number + 1] = starts[number] + sizes[number];
    for (let point = 0; at < starts[number + 1]; at++) {
      for (let shift = 0, more = true; more; shift += 7) {
        const code = bytes.charCodeAt(byte++);
        point += (code & 127) << shift; more = code > 127;
      }
      points[at] = point;
    }
  }
  const pointsOf = (number) => points.subarray(starts[number], starts[number + 1]);

  // The points that match a text, and the numbers of the behaviours that do.
  function find(text) {
    const query = text.trim().toLowerCase(), matches = new Set(), behaviours = [];
    const { ids, sha256, targets, families } = atlas.analyses, familyMatches = atlas.families.map((name) => name.toLowerCase().includes(query));
    const groupMatches = (group) => group.id === query || group.name.toLowerCase().includes(query);
    const clusters = atlas.clusters.map(groupMatches), kins = atlas.kins.map(groupMatches);
    for (let a = 0; a < ids.length; a++) {
      const p = atlas.pointOf[a];
      if (clusters[atlas.cluster[p]] || kins[atlas.kin[p]] || familyMatches[families[a]] || ids[a].toLowerCase().includes(query) || sha256[a].startsWith(query) || targets[a].toLowerCase().includes(query)) matches.add(p);
    }
    for (let number = 0; number < lower.length; number++) {
      if (!lower[number].includes(query)) continue;
      behaviours.push(number);
      for (const p of pointsOf(number)) matches.add(p);
    }
    return { points: matches, behaviours };
  }

  return {
    find, texts,
    has: (token) => numbers.has(token),
    withBehaviour: (token) => new Set(numbers.has(token) ? pointsOf(numbers.get(token)) : []),
    analysesWith: (number) => pointsOf(number).reduce((sum, p) => sum + atlas.size(p), 0),
  };
})();
