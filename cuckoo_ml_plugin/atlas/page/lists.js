// The lists beside the map: clusters, kin, anomalies and counts.
const lists = (function () {
  const { make, row, link, table, muted, outOf } = panels;
  const sorting = { by: "size", up: false };
  const keys = {
    name: ({ group }) => group.name.toLowerCase(), size: ({ shown }) => shown,
    pure: ({ group }) => (group.labels.length ? group.labels[0][1] / group.labels.reduce((sum, [, n]) => sum + n, 0) : -1),
  };

  // How many analyses of each group are shown; groups: the group of each point.
  function shownOf(groups, count) {
    const shown = new Int32Array(count);
    atlas.pointOf.forEach((p, a) => { if (groups[p] >= 0 && filter.showsAnalysis(a)) shown[groups[p]] += 1; });
    return shown;
  }
  function rowsOf(all, groups) {
    const shown = shownOf(groups, all.length);
    return all.map((group, number) => ({ group, number, shown: shown[number] })).filter((one) => one.shown || !filter.isOn());
  }

  function clusters(state, act) {
    const rows = rowsOf(atlas.clusters, atlas.cluster);
    rows.sort((a, b) => { const [x, y] = [keys[sorting.by](a), keys[sorting.by](b)]; return (x < y ? -1 : x > y ? 1 : a.number - b.number) * (sorting.up ? 1 : -1); });
    const head = (key, text, number) => make("th", number ? { class: "number" } : {}, make("button", { text: text + (sorting.by === key ? (sorting.up ? " ▴" : " ▾") : ""), click: () => { sorting.up = sorting.by === key ? !sorting.up : key === "name"; sorting.by = key; act.refresh(); } }));
    const body = make("tbody");
    for (const { group, number, shown } of rows.slice(0, 1000)) {
      const labels = group.labels.length ? `${atlas.families[group.labels[0][0]]}${group.labels.length > 1 ? ` and ${group.labels.length - 1} more` : ""}` : "no labels";
      body.append(row({ class: state.cluster === number ? " selected" : "", "data-cluster": group.id, click: () => act.cluster(number) }, panels.nameCell(group),
        make("td", { class: "number", text: outOf(shown, group.size) }),
        make("td", {}, make("bdi", { text: labels, class: group.labels.length ? "" : "muted" }), panels.mix(group))));
    }
    return [...found(state, act), muted(`${outOf(rows.length, atlas.clusters.length)} clusters${rows.length > 1000 ? "; the first 1,000 are listed" : ""}`),
      make("table", {}, make("thead", {}, make("tr", {}, head("name", "Cluster"), head("size", "Analyses", true), head("pure", "Labels"))), body)];
  }

  // What a search found, above the clusters in which it was found.
  function found(state, act) {
    if (!state.query && !state.behaviour) return [];
    const MOST = 30, total = atlas.analyses.ids.length;
    const analyses = atlas.pointOf.reduce((sum, _, a) => sum + (filter.showsAnalysis(a) ? 1 : 0), 0);
    const parts = [make("h2", {}, make("bdi", { text: state.behaviour || state.query })), make("p", {}, `${show.number(analyses)} of ${show.number(total)} analyses${filter.hasSpan() ? ", in the span of dates," : ""} ${state.behaviour ? "show this behaviour" : "match"}. `, link("Show everything", () => act.clear()))];
    if (state.query) {
      const behaviours = search.find(state.query).behaviours.map((number) => [number, search.analysesWith(number)]).sort((a, b) => b[1] - a[1] || a[0] - b[0]);
      const rows = behaviours.slice(0, MOST).map(([number, count]) => make("tr", {}, make("td", { class: "mono" }, link(search.texts[number], () => act.behaviour(search.texts[number]))), make("td", { class: "number", text: show.number(count) })));
      if (rows.length) parts.push(make("h3", { text: behaviours.length > MOST ? `Behaviour: the ${MOST} commonest of ${show.number(behaviours.length)} that match` : "Behaviour that matches" }), table([], ...rows));
      if (search.texts.length < atlas.behaviours.known) parts.push(muted(`${show.number(search.texts.length)} of ${show.number(atlas.behaviours.known)} pieces of behaviour can be searched here, those that tell most.`));
    }
    if (analyses && analyses <= 200) {
      const rows = [];
      atlas.pointOf.forEach((p, a) => { if (filter.showsAnalysis(a)) rows.push(row({ click: () => act.point(p, false) }, ...panels.analysisCells(a), panels.score(p))); });
      parts.push(make("details", {}, make("summary", { text: `The ${show.number(analyses)} analyses` }), table(["Analysis", "Label", "Date", "#Score"], ...rows)));
    }
    return parts;
  }

  function kins(state, act) {
    if (!atlas.kins.length) return [muted("The model has no kin.")];
    const within = new Int32Array(atlas.kins.length);
    for (const cluster of atlas.clusters) if (cluster.kin >= 0) within[cluster.kin] += 1;
    const rows = rowsOf(atlas.kins, atlas.kin).sort((a, b) => b.shown - a.shown || a.number - b.number);
    return [muted(`${outOf(rows.length, atlas.kins.length)} kin: broad groups of clusters, and of analyses in no cluster, that have much in common${rows.length > 1000 ? "; the first 1,000 are listed" : ""}`),
      table(["Kin", "#Analyses", "#Clusters", "Labels"], ...rows.slice(0, 1000).map(({ group, number, shown }) => row({ class: state.kin === number ? " selected" : "", "data-kin": group.id, click: () => act.kin(number) }, panels.nameCell(group),
        make("td", { class: "number", text: outOf(shown, group.size) }), make("td", { class: "number", text: show.number(within[number]) }), make("td", {}, panels.mix(group)))))];
  }

  // The anomalies by their weightiest reason; the group of the most unusual comes first.
  function anomalies(state, act) {
    const byConstruction = `By construction, up to ${show.percent(1 - atlas.threshold)} of the analyses of a fit count as unusual: here ${show.number(atlas.anomalous)} of ${show.number(atlas.analyses.ids.length)}, with an anomaly score of at least ${show.score(atlas.threshold)}. The score ranks; it does not say malicious.`;
    const listed = atlas.anomalies.filter(({ analysis }) => filter.isInSpan(analysis)), groups = new Map();
    for (const anomaly of listed) {
      const kind = anomaly.reasons.length ? anomaly.reasons[0][0] : "";
      if (!groups.has(kind)) groups.set(kind, []);
      groups.get(kind).push(anomaly);
    }
    const parts = [muted(byConstruction)];
    if (listed.length < atlas.anomalous) parts.push(muted(`${show.number(listed.length)} of ${show.number(atlas.anomalous)} are listed${filter.hasSpan() ? ": those in the span of dates" : ": the most unusual"}.`));
    for (const [kind, members] of groups) {
      const rows = members.flatMap(({ analysis, reasons }) => {
        const p = atlas.pointOf[analysis], why = reasons.slice(0, 2).map(([, text]) => make("li", {}, make("bdi", { text })));
        return [row({ class: state.point === p ? " selected" : "", click: () => act.point(p, true) }, ...panels.analysisCells(analysis), panels.score(p)), make("tr", { class: "why" }, make("td", { colspan: "4" }, make("ul", {}, ...why)))];
      });
      parts.push(make("h3", { class: "reason" }, atlas.reasons[kind] || kind.replaceAll("_", " "), ` (${show.number(members.length)})`), table(["Analysis", "Label", "Date", "#Score"], ...rows));
    }
    return parts;
  }

  function counts(state, act) {
    const WIDTH = 300, HEIGHT = 46, cards = [];
    for (const count of atlas.counts) {
      const place = (value) => Math.log1p(Math.max(value, 0)) / Math.log1p(count.top) * WIDTH, highest = Math.max(...count.bins), step = WIDTH / count.bins.length;
      const picture = panels.draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Distribution of ${count.name}` });
      count.bins.forEach((n, i) => { const tall = n ? Math.max(2, Math.sqrt(n / highest) * (HEIGHT - 8)) : 0; picture.append(panels.draw("rect", { class: "bar", x: i * step + 0.5, y: HEIGHT - 4 - tall, width: step - 1, height: tall })); });
      const [low, , high] = count.quartiles;
      picture.append(panels.draw("rect", { class: "box", x: place(low), y: 0, width: Math.max(place(high) - place(low), 1), height: HEIGHT }));
      for (const [, value] of count.furthest) picture.append(panels.draw("rect", { class: "mark", x: Math.min(place(value), WIDTH - 2), y: HEIGHT - 4, width: 2, height: 4 }));
      const outliers = count.furthest.map(([analysis, value]) => link(`${atlas.analyses.ids[analysis]} (${show.compact(value)})`, () => act.point(atlas.pointOf[analysis], true)));
      cards.push(make("div", { class: "count-card" },
        make("div", { class: "title" }, make("strong", { text: count.name }), make("span", { class: "muted", text: `middle half: ${show.compact(low)} to ${show.compact(high)}; maximum: ${show.compact(count.top)}` })),
        picture, outliers.length ? make("div", {}, make("span", { class: "warn", text: `${show.number(count.outliers)} ${count.outliers === 1 ? "outlier" : "outliers"}: ` }), ...outliers.flatMap((button, i) => (i ? [document.createTextNode(", "), button] : [button]))) : null));
    }
    return [make("p", { class: "muted", text: "The distribution of each count over the analyses, on a logarithmic scale; the height of a bar is the square root of its number of analyses. Shaded: the middle half. Orange: outliers, more than 3 interquartile ranges above the middle half." }), ...cards];
  }

  return { clusters, kins, anomalies, counts };
})();
