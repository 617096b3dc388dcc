// The panels beside the map. Every text goes in as text: nothing of the data is ever read as HTML.
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
  // A row of a table that leads somewhere, by the keyboard too.
  function row(options, ...cells) {
    const made = make("tr", { ...options, class: "row" + (options.class || ""), tabindex: "0" }, ...cells);
    made.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target === made) made.click(); });
    return made;
  }
  const link = (text, click) => make("button", { class: "link", text, click });
  const dot = (colour) => { const one = make("span", { class: "dot" }); one.style.background = colour; return one; };

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
  const keys = { name: (one) => one.name.toLowerCase(), size: (one) => one.size, pure: (one) => (one.labels.length ? one.labels[0][1] / one.labels.reduce((sum, [, n]) => sum + n, 0) : -1) };
  function clusters(state, act) {
    const wanted = state.query, rows = atlas.clusters.map((one, number) => ({ one, number }))
      .filter(({ one }) => !wanted || [one.name, one.id, ...one.labels.map(([name]) => name)].some((text) => text.toLowerCase().includes(wanted)));
    rows.sort((a, b) => { const [x, y] = [keys[sorting.by](a.one), keys[sorting.by](b.one)]; return (x < y ? -1 : x > y ? 1 : a.number - b.number) * (sorting.up ? 1 : -1); });
    const head = (key, text, number) => make("th", number ? { class: "number" } : {}, make("button", { text: text + (sorting.by === key ? (sorting.up ? " ▴" : " ▾") : ""), click: () => { sorting.up = sorting.by === key ? !sorting.up : key === "name"; sorting.by = key; act.refresh(); } }));
    const body = make("tbody");
    for (const { one, number } of rows.slice(0, 1000)) {
      body.append(row({ class: state.cluster === number ? " chosen" : "", "data-cluster": one.id, click: () => act.cluster(number) },
        make("td", {}, dot(colours.ofNumber(number)), document.createTextNode(" "), make("bdi", { text: one.name }), document.createTextNode(" "), make("span", { class: "muted", text: one.id })),
        make("td", { class: "number", text: show.number(one.size) }),
        make("td", {}, make("bdi", { text: one.labels.length ? `${one.labels[0][0]}${one.labels.length > 1 ? ` and ${one.labels.length - 1} more` : ""}` : "no labels", class: one.labels.length ? "" : "muted" }), mix(one))));
    }
    const shown = `${show.number(rows.length)} of ${show.number(atlas.clusters.length)} clusters`;
    return [make("p", { class: "muted", text: shown + (rows.length > 1000 ? ", the first 1,000 are listed" : "") }),
      make("table", {}, make("thead", {}, make("tr", {}, head("name", "Cluster"), head("size", "Analyses", true), head("pure", "Labels"))), body)];
  }

  function anomalies(state, act) {
    if (!atlas.anomalies.length) return [make("p", { class: "muted", text: "No analysis is anomalous." })];
    const body = make("tbody");
    for (const { analysis, reasons } of atlas.anomalies) {
      const p = atlas.pointOf[analysis], family = atlas.analyses.families[analysis];
      body.append(row({ class: state.point === p ? " chosen" : "", click: () => act.point(p, true) },
        make("td", {}, make("bdi", { text: atlas.analyses.ids[analysis] }), make("div", { class: "muted", text: family < 0 ? "no label" : atlas.families[family] })),
        make("td", { class: "number warn", text: show.atLeast(atlas.anomaly[p]) }),
        make("td", {}, make("ul", {}, ...reasons.slice(0, 2).map((text) => make("li", {}, make("bdi", { text })))))));
    }
    return [make("p", { class: "muted", text: `More unusual than ${show.percent(atlas.threshold)} of what is known, the most unusual first` }),
      make("table", {}, make("thead", {}, make("tr", {}, make("th", { text: "Analysis" }), make("th", { class: "number", text: "Score" }), make("th", { text: "Why" }))), body)];
  }

  function counts(state, act) {
    const WIDTH = 300, HEIGHT = 46, cards = [];
    for (const one of atlas.counts) {
      const place = (value) => Math.log1p(Math.max(value, 0)) / Math.log1p(one.top) * WIDTH, highest = Math.max(...one.bins), step = WIDTH / one.bins.length;
      const picture = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `Distribution of ${one.name}` });
      one.bins.forEach((n, i) => { const tall = n ? Math.max(2, Math.sqrt(n / highest) * (HEIGHT - 8)) : 0; picture.append(draw("rect", { class: "bar", x: i * step + 0.5, y: HEIGHT - 4 - tall, width: step - 1, height: tall })); });
      const [low, , high] = one.quartiles;
      picture.append(draw("rect", { class: "box", x: place(low), y: 0, width: Math.max(place(high) - place(low), 1), height: HEIGHT }));
      for (const [, value] of one.furthest) picture.append(draw("rect", { class: "mark", x: Math.min(place(value), WIDTH - 2), y: HEIGHT - 4, width: 2, height: 4 }));
      const far = one.furthest.map(([analysis, value]) => link(`${atlas.analyses.ids[analysis]} (${show.compact(value)})`, () => act.point(atlas.pointOf[analysis], true)));
      cards.push(make("div", { class: "count-card" },
        make("div", { class: "title" }, make("strong", { text: one.name }), make("span", { class: "muted", text: `half: ${show.compact(low)} to ${show.compact(high)}; at most ${show.compact(one.top)}` })),
        picture, far.length ? make("div", {}, make("span", { class: "warn", text: `${show.number(one.outliers)} far out: ` }), ...far.flatMap((each, i) => (i ? [document.createTextNode(", "), each] : [each]))) : null));
    }
    return [make("p", { class: "muted", text: "How often each count was how high (logarithmic; bars by the root of their number). Shaded: the middle half. Orange: beyond 3 interquartile ranges." }), ...cards];
  }

  function evidence(cluster) {
    const rows = cluster.evidence.map(([kind, value, inside, all]) => make("tr", {}, make("td", { class: "kind", text: kind.replaceAll("_", " ") }), make("td", { class: "mono" }, make("bdi", { text: value })), make("td", { class: "number", text: `${show.percent(inside)} / ${show.percent(all, 1)}` })));
    return rows.length ? [make("h3", { text: "What ties it together (in it / in all)" }), make("table", {}, make("tbody", {}, ...rows))] : [];
  }

  function aboutCluster(number, act) {
    const one = atlas.clusters[number], labels = one.labels.map(([name, n]) => make("tr", {}, make("td", {}, dot(colours.familyColour(familyNumber.has(name) ? familyNumber.get(name) : -1)), document.createTextNode(" "), make("bdi", { text: name })), make("td", { class: "number", text: show.number(n) }), make("td", { class: "number muted", text: show.percent(n / one.size) })));
    return [make("h2", {}, make("bdi", { text: one.name }), make("span", { class: "muted", text: `  ${one.id}` })), make("p", { text: `${show.number(one.size)} analyses` }), mix(one),
      ...(labels.length ? [make("h3", { text: "Labels" }), make("table", {}, make("tbody", {}, ...labels))] : [make("p", { class: "muted", text: "None of its analyses has a label." })]),
      ...evidence(one), make("p", {}, link("Show all clusters again", () => act.clear()))];
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
    const unusual = atlas.anomaly[p] >= atlas.threshold, found = atlas.anomalies.find((one) => atlas.pointOf[one.analysis] === p);
    const fact = (name, ...value) => [make("dt", { text: name }), make("dd", {}, ...value)];
    return [make("h2", {}, make("bdi", { text: atlas.analyses.ids[first] })),
      make("dl", {}, ...fact("Cluster", cluster < 0 ? make("span", { class: "muted", text: "none" }) : link(atlas.clusters[cluster].name, () => act.cluster(cluster)), document.createTextNode(cluster < 0 ? "" : `, membership ${show.percent(atlas.certainty[p])}`)),
        ...fact("Anomaly score", make("span", { class: unusual ? "warn" : "", text: show.atLeast(atlas.anomaly[p]) + (unusual ? ", unusual" : "") })), ...fact("Outlier score", document.createTextNode(`${atlas.outlier[p].toFixed(2)} (GLOSH)`))),
      ...(found && found.reasons.length ? [make("ul", {}, ...found.reasons.map((text) => make("li", {}, make("bdi", { text }))))] : []),
      make("h3", { text: rows.length > 1 ? `${show.number(atlas.size(p))} analyses with exactly this behaviour` : "Analysis" }), make("table", {}, make("tbody", {}, ...rows)),
      ...(similar.length ? [make("h3", { text: "Similar (behaviour in common)" }), make("table", {}, make("tbody", {}, ...similar))] : []), ...(cluster < 0 ? [] : evidence(atlas.clusters[cluster]))];
  }

  return { make, draw, dot, clusters, anomalies, counts, aboutCluster, aboutPoint };
})();
