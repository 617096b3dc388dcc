// What is known of one cluster, one kin or one analysis.
const about = (function () {
  const { make, row, link, table, muted, outOf } = panels, MOST_MEMBERS = 200;
  const h3 = (text) => make("h3", { text });
  const fact = (name, ...value) => [make("dt", { text: name }), make("dd", {}, ...value)];
  const share = (name, value) => make("a", { class: "share", href: links.to(name, value), text: "Link to this", title: "Copy its address to share it with this file" });
  const groupLink = (group, click) => make("span", {}, panels.dot(group.colour), panels.space(), link(group.name, click));
  const back = (act) => make("button", { class: "back", text: "Show all clusters", click: () => act.clear() });
  const none = () => make("span", { class: "muted", text: "none" });

  function evidence(cluster, act) {
    if (!cluster.evidence.length) return [];
    const rows = cluster.evidence.map(([kind, value, inside, all]) => {
      const token = `${kind}:${value}`, shown = search.has(token) ? link(value, () => act.behaviour(token)) : make("bdi", { text: value });
      return make("tr", {}, make("td", { class: "kind", text: kind.replaceAll("_", " ") }), make("td", { class: "mono" }, shown), make("td", { class: "number", text: show.percent(inside) }), make("td", { class: "number", text: show.percent(all, 1) }));
    });
    return [h3("Shared behaviour"), table(["Kind", "Value", "#Cluster", "#Corpus"], ...rows)];
  }

  // The analyses of a cluster or kin, the latest first; groups: the group of each point.
  function members(groups, number, size, act) {
    const own = [];
    atlas.pointOf.forEach((p, a) => { if (groups[p] === number && filter.isInSpan(a)) own.push(a); });
    own.sort((a, b) => atlas.analyses.days[b] - atlas.analyses.days[a] || a - b);
    const rows = own.slice(0, MOST_MEMBERS).map((a) => row({ "data-member": atlas.analyses.ids[a], click: () => act.point(atlas.pointOf[a], false) }, ...panels.analysisCells(a), panels.score(atlas.pointOf[a])));
    return [h3(`Members: ${outOf(own.length, size)}${own.length > MOST_MEMBERS ? `; the ${MOST_MEMBERS} latest are listed` : ""}`), table(["Analysis", "Label", "Date", "#Score"], ...rows)];
  }

  // Name, size, dates and labels of a cluster or a kin.
  function summary(kind, group, act, ...facts) {
    const labels = group.labels.map(([family, n]) => make("tr", {}, panels.familyCell(family), make("td", { class: "number", text: show.number(n) }), make("td", { class: "number muted", text: show.percent(n / group.size) })));
    return [make("p", {}, back(act), " ", share(kind, group.id)),
      make("h2", {}, panels.dot(group.colour), panels.space(), make("bdi", { text: group.name }), make("span", { class: "muted", text: `  ${group.id}` })),
      make("p", { text: `${show.number(group.size)} analyses, ${show.span(group.seen[0] || "?", group.seen[1] || "?")}` }), ...facts, panels.mix(group),
      ...(labels.length ? [h3("Labels"), table([], ...labels)] : [muted("None of its analyses has a label.")])];
  }

  const kinOf = (number, act) => (number < 0 ? none() : groupLink(atlas.kins[number], () => act.kin(number)));

  function cluster(number, act) {
    const group = atlas.clusters[number];
    const nearest = group.nearest.map(([other, similarity]) => row({ "data-nearest": atlas.clusters[other].id, click: () => act.cluster(other) }, panels.nameCell(atlas.clusters[other]), make("td", { class: "number", text: show.number(atlas.clusters[other].size) }), make("td", { class: "number", text: show.percent(similarity) })));
    return [...summary("cluster", group, act, make("p", {}, "Kin: ", kinOf(group.kin, act))), ...evidence(group, act),
      ...(nearest.length ? [h3("Nearest clusters"), table(["Cluster", "#Analyses", "#Alike"], ...nearest)] : []), ...members(atlas.cluster, number, group.size, act)];
  }

  function kin(number, act) {
    const inside = atlas.clusters.map((group, i) => ({ group, i })).filter(({ group }) => group.kin === number).sort((a, b) => b.group.size - a.group.size);
    const rows = inside.slice(0, 200).map(({ group, i }) => row({ "data-cluster": group.id, click: () => act.cluster(i) }, panels.nameCell(group), make("td", { class: "number", text: show.number(group.size) })));
    return [...summary("kin", atlas.kins[number], act), h3(`${show.number(inside.length)} ${inside.length === 1 ? "cluster" : "clusters"} in it${inside.length > 200 ? "; the 200 largest are listed" : ""}`), table([], ...rows),
      ...members(atlas.kin, number, atlas.kins[number].size, act)];
  }

  function similar(p, act) {
    const rows = [];
    for (let k = 0; k < atlas.perPoint; k++) {
      const other = atlas.alike[p * atlas.perPoint + k], alike = make("td", { class: "number", text: show.percent(atlas.similarity[p * atlas.perPoint + k]) });
      if (other >= 0) rows.push(row({ "data-point": other, click: () => act.point(other, false) }, ...panels.analysisCells(atlas.starts[other]), alike));
      else if (other < -1) {
        const { id, target, family, day } = atlas.newer[-2 - other];
        rows.push(make("tr", { "data-newer": id }, make("td", {}, make("bdi", { text: id }), make("div", { class: "muted cut" }, make("bdi", { text: target }), " (newer than the model)")), make("td", {}, family ? make("bdi", { text: family }) : none()), make("td", { class: "day", text: show.day(day) }), alike));
      }
    }
    return rows.length ? [h3("Similar analyses"), table(["Analysis", "Label", "Date", "#Alike"], ...rows)] : [];
  }

  function point(p, act) {
    const number = atlas.cluster[p], first = atlas.starts[p], rows = [];
    for (let a = first; a < Math.min(atlas.starts[p + 1], first + 50); a++) {
      rows.push(make("tr", {}, ...panels.analysisCells(a)), make("tr", { class: "why" }, make("td", { colspan: "3", class: "mono muted", text: atlas.analyses.sha256[a] })));
    }
    const unusual = atlas.anomaly[p] >= atlas.threshold, entry = atlas.anomalies.find((anomaly) => atlas.pointOf[anomaly.analysis] === p);
    return [make("p", {}, back(act), " ", share("analysis", atlas.analyses.ids[first])), make("h2", {}, make("bdi", { text: atlas.analyses.ids[first] })),
      make("dl", {}, ...fact("Cluster", number < 0 ? none() : groupLink(atlas.clusters[number], () => act.cluster(number)), number < 0 ? "" : `, membership ${show.percent(atlas.certainty[p])}`), ...fact("Kin", kinOf(atlas.kin[p], act)),
        ...fact("Anomaly score", make("span", { class: unusual ? "warn" : "", text: show.score(atlas.anomaly[p]) + (unusual ? ", unusual" : "") })), ...fact("Outlier score", `${atlas.outlier[p].toFixed(2)} (GLOSH)`)),
      ...(entry && entry.reasons.length ? [make("ul", {}, ...entry.reasons.map(([, text]) => make("li", {}, make("bdi", { text }))))] : []),
      h3(atlas.size(p) > 1 ? `${show.number(atlas.size(p))} analyses with exactly this behaviour${atlas.size(p) > 50 ? "; the first 50 are listed" : ""}` : "Analysis"), table(["Analysis", "Label", "Date"], ...rows),
      ...similar(p, act), ...(number < 0 ? [] : evidence(atlas.clusters[number], act))];
  }

  return { cluster, kin, point };
})();
