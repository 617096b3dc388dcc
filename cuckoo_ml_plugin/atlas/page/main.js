// The page as a whole: what is selected, searched and open, in the panel, on the map and in the address.
(function () {
  const TABS = [["clusters", "Clusters"], ["kin", "Kin"], ["selected", "Selection"], ["anomalies", "Anomalies"], ["tree", "Tree"], ["counts", "Counts"]];
  const NOTHING = { point: -1, cluster: -1, kin: -1, query: "", behaviour: "" };
  const state = {
    ...NOTHING, tab: "clusters", from: -1, to: -1, colour: "cluster",
    usualTab: () => (state.point >= 0 || state.cluster >= 0 || state.kin >= 0 ? "selected" : "clusters"),
  };
  const panel = document.getElementById("panel"), tabs = document.getElementById("tabs");
  const field = document.getElementById("search"), select = document.getElementById("colour");
  let notice = "";

  const act = {
    refresh: () => fillPanel(),
    // zoom: whether the map goes to the point and shows the others too.
    point(p, zoom) {
      const chosen = zoom ? null : filter.points;
      Object.assign(state, NOTHING, { point: p, tab: "selected" }); changed(chosen);
      if (zoom) map.goTo([p]);
    },
    cluster(number) { choose({ cluster: number, tab: "selected" }); },
    kin(number) { choose({ kin: number, tab: "selected" }); },
    behaviour(token) { choose({ behaviour: token, tab: "clusters" }); },
    clear() { choose({ tab: "clusters" }); },
  };

  // Makes something the subject, and shows its points.
  function choose(subject, replace = false) {
    Object.assign(state, NOTHING, subject);
    const points = pointsOfSubject();
    changed(points, replace);
    if (state.cluster >= 0 || state.kin >= 0) map.goTo([...points]); else map.whole();
  }

  function pointsOfSubject() {
    const withGroup = (groups, number) => { const own = new Set(); for (let p = 0; p < atlas.count; p++) if (groups[p] === number) own.add(p); return own; };
    if (state.cluster >= 0) return withGroup(atlas.cluster, state.cluster);
    if (state.kin >= 0) return withGroup(atlas.kin, state.kin);
    if (state.behaviour) return search.withBehaviour(state.behaviour);
    return state.query ? search.find(state.query).points : null;
  }

  function changed(points, replace = false) {
    filter.choose(points); notice = "";
    drawAll(); links.write(state, replace);
  }

  function drawAll() {
    map.select(state.point); map.refilter(); map.colourBy(state.colour);
    if (field.value.trim() !== state.query) field.value = state.query;
    select.value = state.colour;
    legend.draw(colours.modes[state.colour]); time.draw(); fillPanel(); panel.scrollTop = 0;
  }

  function fillPanel() {
    for (const button of tabs.children) button.setAttribute("aria-selected", String(button.dataset.tab === state.tab));
    panel.replaceChildren(...(notice ? [panels.make("p", { class: "warn", text: notice })] : []), ...content(state.tab));
  }

  function content(name) {
    if (name === "clusters") return lists.clusters(state, act);
    if (name === "kin") return lists.kins(state, act);
    if (name === "anomalies") return lists.anomalies(state, act);
    if (name === "counts") return lists.counts(state, act);
    if (name === "tree") return tree.picture(act);
    if (state.point >= 0) return about.point(state.point, act);
    if (state.cluster >= 0) return about.cluster(state.cluster, act);
    if (state.kin >= 0) return about.kin(state.kin, act);
    return [panels.muted("Click a point on the map or a cluster in the list.")];
  }

  // Each letter makes a new search; in the browser's history, they are one.
  function find(text) {
    const query = text.trim(), goesOn = Boolean(state.query);
    if (!query) { act.clear(); return; }
    choose({ query, tab: "clusters" }, goesOn);
    if (filter.points.size === 1) { Object.assign(state, { point: [...filter.points][0], tab: "selected" }); changed(filter.points, true); }
  }

  function span(from, to) {
    Object.assign(state, { from, to });
    filter.span(from, to); time.show(from, to);
    drawAll(); links.write(state, true);
  }

  function openLink() {
    const { wanted, missing } = links.read();
    Object.assign(state, wanted);
    if (!TABS.some(([name]) => name === state.tab)) state.tab = state.usualTab();
    filter.span(state.from, state.to); time.show(state.from, state.to);
    const points = pointsOfSubject();
    filter.choose(points);
    notice = missing.length ? `This atlas has no ${missing.join(" and no ")}: the link may be to the atlas of another model.` : "";
    drawAll();
    if (state.point >= 0) map.goTo([state.point]); else if (state.cluster >= 0 || state.kin >= 0) map.goTo([...points]); else map.whole();
  }

  for (const [name, title] of TABS) tabs.append(panels.make("button", { role: "tab", text: title, "data-tab": name, click: () => { state.tab = name; fillPanel(); panel.scrollTop = 0; links.write(state); } }));
  const clustered = atlas.pointOf.reduce((sum, p) => sum + (atlas.cluster[p] >= 0 ? 1 : 0), 0), total = atlas.analyses.ids.length;
  const summary = document.getElementById("summary");
  summary.title = `Model ${atlas.model.id}`;
  summary.textContent = `${show.number(total)} analyses, ${show.number(atlas.clusters.length)} clusters that hold ${show.percent(total ? clustered / total : 0)} of them, ${show.number(atlas.kins.length)} kin above them; fitted ${String(atlas.model.fitted_at).slice(0, 10)}`;
  select.addEventListener("change", () => { state.colour = select.value; drawAll(); links.write(state, true); });
  let typing = 0;
  field.addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => find(field.value), 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  map.onSelect((p) => { if (p >= 0) act.point(p, false); });
  time.onChoose(span);
  links.onChange(openLink);
  map.start();
  openLink();
  document.documentElement.dataset.ready = "yes";
})();
