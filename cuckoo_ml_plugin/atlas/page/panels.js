// The panels beside the map. All data goes in as text; none of it is ever parsed as HTML.
const panels = (function () {
  const SVG = "http://www.w3.org/2000/svg";
  function make(name, options = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(options)) {
      if (key === "text") element.textContent = value;
      else if (key === "class") element.className = value;
      else if (key === "click") element.addEventListener("click", value);
      else element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }
  function draw(name, attributes, ...children) {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }
  // A row of a table that can be clicked, or chosen with the keyboard.
  function row(options, ...cells) {
    const element = make("tr", { ...options, class: "row" + (options.class || ""), tabindex: "0" }, ...cells);
    element.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target === element) element.click(); });
    return element;
  }
  const link = (text, click) => make("button", { class: "link", text, click });
  const dot = (colour) => { const element = make("span", { class: "dot" }); element.style.background = colour; return element; };

  const familyNumber = new Map(atlas.families.map((name, i) => [name, i]));
  function mix(cluster) {
    const bar = make("div", { class: "mix", title: cluster.labels.map(([name, n]) => `${name} ${n}`).join(", ") || "no labels" });
    for (const [name, count] of cluster.labels) {
      const part = make("span");
      part.style.width = `${100 * count / cluster.size}%`;
      part.style.background = colours.familyColour(familyNumber.has(name) ? familyNumber.get(name) : -1);
      bar.append(part);
    }
    return bar;
  }

  const sorting = { by: "size", up: false };
  const keys = {
    name: (cluster) => cluster.name.toLowerCase(), size: (cluster) => cluster.size,
    pure: (cluster) => (cluster.labels.length ? cluster.labels[0][1] / cluster.labels.reduce((sum, [, n]) => sum + n, 0) : -1),
  };
  function clusters(state, act) {
    const query = state.query, rows = atlas.clusters.map((cluster, number) => ({ cluster, number }))
      .filter(({ cluster }) => !query || [cluster.name, cluster.id, ...cluster.labels.map(([name]) => name)].some((text) => text.toLowerCase().includes(query)) || (cluster.kin >= 0 && atlas.kins[cluster.kin].id === query));
    rows.sort((a, b) => { const [x, y] = [keys[sorting.by](a.cluster), keys[sorting.by](b.cluster)]; return (x < y ? -1 : x > y ? 1 : a.number - b.number) * (sorting.up ? 1 : -1); });
    const head = (key, text, number) => make("th", number ? { class: "number" } : {}, make("button", { text: text + (sorting.by === key ? (sorting.up ? " ▴" : " ▾") : ""), click: () => { sorting.up = sorting.by === key ? !sorting.up : key === "name"; sorting.by = key; act.refresh(); } }));
    const body = make("tbody");
    for (const { cluster, number } of rows.slice(0, 1000)) {
      body.append(row({ class: state.cluster === number ? " selected" : "", "data-cluster": cluster.id, click: () => act.cluster(number) },
        make("td", {}, dot(colours.ofNumber(number)), document.createTextNode(" "), make("bdi", { text: cluster.name }), document.createTextNode(" "), make("span", { class: "muted", text: cluster.id })),
        make("td", { class: "number", text: show.number(cluster.size) }),
        make("td", {}, make("bdi", { text: cluster.labels.length ? `${cluster.labels[0][0]}${cluster.labels.length > 1 ? ` and ${cluster.labels.length - 1} more` : ""}` : "no labels", class: cluster.labels.length ? "" : "muted" }), mix(cluster))));
    }
    const total = `${show.number(rows.length)} of ${show.number(atlas.clusters.length)} clusters`;
    return [make("p", { class: "muted", text: total + (rows.length > 1000 ? "; the first 1,000 are listed" : "") }),
      make("table", {}, make("thead", {}, make("tr", {}, head("name", "Cluster"), head("size", "Analyses", true), head("pure", "Labels"))), body)];
  }

  function kins(state, act) {
    if (!atlas.kins.length) return [make("p", { class: "muted", text: "The model has no kin." })];
    const within = new Int32Array(atlas.kins.length), body = make("tbody");
    for (const cluster of atlas.clusters) if (cluster.kin >= 0) within[cluster.kin] += 1;
    const rows = atlas.kins.map((kin, number) => ({ kin, number })).sort((a, b) => b.kin.size - a.kin.size || a.number - b.number);
    for (const { kin, number } of rows.slice(0, 1000)) {
      body.append(row({ class: state.kin === number ? " selected" : "", "data-kin": kin.id, click: () => act.kin(number) },
        make("td", {}, dot(colours.ofNumber(number)), document.createTextNode(" "), make("bdi", { text: kin.name }), document.createTextNode(" "), make("span", { class: "muted", text: kin.id })),
        make("td", { class: "number", text: show.number(kin.size) }), make("td", { class: "number", text: show.number(within[number]) }), make("td", {}, mix(kin))));
    }
    return [make("p", { class: "muted", text: `${show.number(rows.length)} kin: broad groups of clusters, and of analyses in no cluster, that have much in common${rows.length > 1000 ? "; the first 1,000 are listed" : ""}` }),
      make("table", {}, make("thead", {}, make("tr", {}, make("th", { text: "Kin" }), make("th", { class: "number", text: "Analyses" }), make("th", { class: "number", text: "Clusters" }), make("th", { text: "Labels" }))), body)];
  }

  function anomalies(state, act) {
    if (!atlas.anomalies.length) return [make("p", { class: "muted", text: "No analysis is anomalous." })];
    const body = make("tbody");
    for (const { analysis, reasons } of atlas.anomalies) {
      const p = atlas.pointOf[analysis], family = atlas.analyses.families[analysis];
      body.append(row({ class: state.point === p ? " selected" : "", click: () => act.point(p, true) },
        make("td", {}, make("bdi", { text: atlas.analyses.ids[analysis] }), make("div", { class: "muted", text: family < 0 ? "no label" : atlas.families[family] })),
        make("td", { class: "number warn", text: show.score(atlas.anomaly[p]) }),
        make("td", {}, make("ul", {}, ...reasons.slice(0, 2).map((text) => make("li", {}, make("bdi", { text })))))));
    }
    return [make("p", { class: "muted", text: `Analyses more unusual than ${show.percent(atlas.threshold)} of the corpus, the most unusual first` }),
      make("table", {}, make("thead", {}, make("tr", {}, make("th", { text: "Analysis" }), make("th", { class: "number", text: "Score" }), make("th", { text: "Reasons" }))), body)];
  }

  function counts(state, act) {
    const WIDTH = 300, HEIGHT = 46, cards = [];
    for (const count of atlas.counts) {
      const place = (value) => Math.log1p(Math.max(value, 0)) / Math.log1p(count.top) * WIDTH, highest = Math.max(...count.bins), step = WIDTH / count.bins.length;
      const picture = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Distribution of ${count.name}` });
      count.bins.forEach((n, i) => { const tall = n ? Math.max(2, Math.sqrt(n / highest) * (HEIGHT - 8)) : 0; picture.append(draw("rect", { class: "bar", x: i * step + 0.5, y: HEIGHT - 4 - tall, width: step - 1, height: tall })); });
      const [low, , high] = count.quartiles;
      picture.append(draw("rect", { class: "box", x: place(low), y: 0, width: Math.max(place(high) - place(low), 1), height: HEIGHT }));
      for (const [, value] of count.furthest) picture.append(draw("rect", { class: "mark", x: Math.min(place(value), WIDTH - 2), y: HEIGHT - 4, width: 2, height: 4 }));
      const outliers = count.furthest.map(([analysis, value]) => link(`${atlas.analyses.ids[analysis]} (${show.compact(value)})`, () => act.point(atlas.pointOf[analysis], true)));
      cards.push(make("div", { class: "count-card" },
        make("div", { class: "title" }, make("strong", { text: count.name }), make("span", { class: "muted", text: `middle half: ${show.compact(low)} to ${show.compact(high)}; maximum: ${show.compact(count.top)}` })),
        picture, outliers.length ? make("div", {}, make("span", { class: "warn", text: `${show.number(count.outliers)} ${count.outliers === 1 ? "outlier" : "outliers"}: ` }), ...outliers.flatMap((button, i) => (i ? [document.createTextNode(", "), button] : [button]))) : null));
    }
    return [make("p", { class: "muted", text: "The distribution of each count over the analyses, on a logarithmic scale; the height of a bar is the square root of its number of analyses. Shaded: the middle half. Orange: outliers, more than 3 interquartile ranges above the middle half." }), ...cards];
  }

  function evidence(cluster) {
    const rows = cluster.evidence.map(([kind, value, inside, all]) => make("tr", {}, make("td", { class: "kind", text: kind.replaceAll("_", " ") }), make("td", { class: "mono" }, make("bdi", { text: value })), make("td", { class: "number", text: `${show.percent(inside)} / ${show.percent(all, 1)}` })));
    return rows.length ? [make("h3", { text: "Shared behaviour (in the cluster / in the corpus)" }), make("table", {}, make("tbody", {}, ...rows))] : [];
  }

  // Name, size and labels of a cluster or a kin.
  function aboutGroup(group, ...facts) {
    const labels = group.labels.map(([name, n]) => make("tr", {}, make("td", {}, dot(colours.familyColour(familyNumber.has(name) ? familyNumber.get(name) : -1)), document.createTextNode(" "), make("bdi", { text: name })), make("td", { class: "number", text: show.number(n) }), make("td", { class: "number muted", text: show.percent(n / group.size) })));
    return [make("h2", {}, make("bdi", { text: group.name }), make("span", { class: "muted", text: `  ${group.id}` })), make("p", { text: `${show.number(group.size)} analyses` }), ...facts, mix(group),
      ...(labels.length ? [make("h3", { text: "Labels" }), make("table", {}, make("tbody", {}, ...labels))] : [make("p", { class: "muted", text: "None of its analyses has a label." })])];
  }

  function kinOf(number, act) {
    return number < 0 ? make("span", { class: "muted", text: "none" }) : link(atlas.kins[number].name, () => act.kin(number));
  }

  function aboutCluster(number, act) {
    const cluster = atlas.clusters[number];
    return [...aboutGroup(cluster, make("p", {}, document.createTextNode("Kin: "), kinOf(cluster.kin, act))),
      ...evidence(cluster), make("p", {}, link("Show all clusters", () => act.clear()))];
  }

  function aboutKin(number, act) {
    const members = atlas.clusters.map((cluster, i) => ({ cluster, i })).filter(({ cluster }) => cluster.kin === number).sort((a, b) => b.cluster.size - a.cluster.size);
    const rows = members.slice(0, 200).map(({ cluster, i }) => row({ "data-cluster": cluster.id, click: () => act.cluster(i) },
      make("td", {}, dot(colours.ofNumber(i)), document.createTextNode(" "), make("bdi", { text: cluster.name }), document.createTextNode(" "), make("span", { class: "muted", text: cluster.id })), make("td", { class: "number", text: show.number(cluster.size) })));
    return [...aboutGroup(atlas.kins[number]),
      make("h3", { text: `${show.number(members.length)} ${members.length === 1 ? "cluster" : "clusters"} in it${members.length > 200 ? "; the 200 largest are listed" : ""}` }), make("table", {}, make("tbody", {}, ...rows)),
      make("p", {}, link("Show all clusters", () => act.clear()))];
  }

  function aboutPoint(p, act) {
    const cluster = atlas.cluster[p], first = atlas.starts[p], rows = [];
    for (let a = first; a < Math.min(atlas.starts[p + 1], first + 50); a++) {
      const family = atlas.analyses.families[a];
      rows.push(make("tr", {}, make("td", {}, make("bdi", { text: atlas.analyses.ids[a] }), make("div", { class: "muted", text: show.day(atlas.analyses.days[a]) })),
        make("td", {}, make("bdi", { text: atlas.analyses.targets[a] }), document.createTextNode(" "), family < 0 ? make("span", { class: "muted", text: "no label" }) : make("bdi", { class: "tag", text: atlas.families[family] }),
          make("div", { class: "mono muted", text: atlas.analyses.sha256[a] }))));
    }
    const similar = [];
    for (let k = 0; k < atlas.perPoint; k++) {
      const other = atlas.alike[p * atlas.perPoint + k];
      if (other < 0) continue;
      const label = atlas.family[other] < 0 ? "" : atlas.families[atlas.family[other]];
      similar.push(row({ "data-point": other, click: () => act.point(other, false) }, make("td", {}, make("bdi", { text: atlas.analyses.ids[atlas.starts[other]] })), make("td", { text: label, class: "muted" }), make("td", { class: "number", text: show.percent(atlas.similarity[p * atlas.perPoint + k]) })));
    }
    const unusual = atlas.anomaly[p] >= atlas.threshold, entry = atlas.anomalies.find((anomaly) => atlas.pointOf[anomaly.analysis] === p);
    const fact = (name, ...value) => [make("dt", { text: name }), make("dd", {}, ...value)];
    return [make("h2", {}, make("bdi", { text: atlas.analyses.ids[first] })),
      make("dl", {}, ...fact("Cluster", cluster < 0 ? make("span", { class: "muted", text: "none" }) : link(atlas.clusters[cluster].name, () => act.cluster(cluster)), document.createTextNode(cluster < 0 ? "" : `, membership ${show.percent(atlas.certainty[p])}`)), ...fact("Kin", kinOf(atlas.kin[p], act)),
        ...fact("Anomaly score", make("span", { class: unusual ? "warn" : "", text: show.score(atlas.anomaly[p]) + (unusual ? ", unusual" : "") })), ...fact("Outlier score", document.createTextNode(`${atlas.outlier[p].toFixed(2)} (GLOSH)`))),
      ...(entry && entry.reasons.length ? [make("ul", {}, ...entry.reasons.map((text) => make("li", {}, make("bdi", { text }))))] : []),
      make("h3", { text: rows.length > 1 ? `${show.number(atlas.size(p))} analyses with exactly this behaviour` : "Analysis" }), make("table", {}, make("tbody", {}, ...rows)),
      ...(similar.length ? [make("h3", { text: "Similar analyses (share of behaviour in common)" }), make("table", {}, make("tbody", {}, ...similar))] : []), ...(cluster < 0 ? [] : evidence(atlas.clusters[cluster]))];
  }

  return { make, draw, dot, clusters, kins, anomalies, counts, aboutCluster, aboutKin, aboutPoint };
})();
