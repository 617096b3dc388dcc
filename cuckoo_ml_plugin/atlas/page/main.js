// The page as a whole: the selection, the open panel, the legend and the search.
(function () {
  const TABS = [["clusters", "Clusters"], ["kin", "Kin"], ["selected", "Selection"], ["anomalies", "Anomalies"], ["tree", "Tree"], ["counts", "Counts"]];
  const state = { tab: "clusters", point: -1, cluster: -1, kin: -1, query: "" };
  const panel = document.getElementById("panel"), tabs = document.getElementById("tabs"), legend = document.getElementById("legend");

  const act = {
    refresh: () => openTab(state.tab),
    point(p, zoom) {
      state.point = p; state.cluster = -1; state.kin = -1; map.select(p);
      if (zoom) { map.showOnly(null); map.goTo([p]); }
      openTab("selected");
    },
    cluster(number) {
      state.cluster = number; state.kin = -1; showGroup(atlas.cluster, number);
    },
    kin(number) {
      state.kin = number; state.cluster = -1; showGroup(atlas.kin, number);
    },
    clear() { state.point = -1; state.cluster = -1; state.kin = -1; map.select(-1); map.showOnly(null); document.getElementById("whole").click(); openTab("clusters"); },
  };

  // Shows the points of one cluster or one kin alone; groups: the group of each point.
  function showGroup(groups, number) {
    state.point = -1; map.select(-1);
    const members = [];
    for (let p = 0; p < atlas.count; p++) if (groups[p] === number) members.push(p);
    map.showOnly(new Set(members)); map.goTo(members); openTab("selected");
  }

  function openTab(name) {
    state.tab = name;
    for (const button of tabs.children) button.setAttribute("aria-selected", String(button.dataset.tab === name));
    panel.replaceChildren(...content(name));
    panel.scrollTop = 0;
  }

  function content(name) {
    if (name === "clusters") return panels.clusters(state, act);
    if (name === "kin") return panels.kins(state, act);
    if (name === "anomalies") return panels.anomalies(state, act);
    if (name === "counts") return panels.counts(state, act);
    if (name === "tree") return tree.picture(act);
    if (state.point >= 0) return panels.aboutPoint(state.point, act);
    if (state.cluster >= 0) return panels.aboutCluster(state.cluster, act);
    if (state.kin >= 0) return panels.aboutKin(state.kin, act);
    return [panels.make("p", { class: "muted", text: "Click a point on the map or a cluster in the list." })];
  }

  function drawLegend() {
    const mode = colours.modes[map.mode()], rows = [];
    if (mode.ends) {
      const strip = document.createElement("canvas"), context = strip.getContext("2d");
      strip.width = 190; strip.height = 1;
      for (let i = 0; i < 190; i++) { context.fillStyle = colours.ramp(i / 189); context.fillRect(i, 0, 1, 1); }
      rows.push(strip, panels.make("div", { class: "ends" }, panels.make("span", { text: mode.ends[0] }), panels.make("span", { text: mode.ends[1] })));
    } else {
      const groups = mode.listed().sort((a, b) => b[1] - a[1] || a[0] - b[0]);
      for (const [group, analyses] of groups.slice(0, 14)) {
        const row = panels.make("button", { click: () => { const shown = map.toggleGroup(group); for (const other of legend.children) other.classList.remove("selected"); row.classList.toggle("selected", shown === group); } },
          panels.dot(mode.colour(group)), panels.make("bdi", { text: mode.name(group) }), panels.make("span", { class: "count", text: show.number(analyses) }));
        rows.push(row);
      }
      if (groups.length > 14) rows.push(panels.make("div", { class: "muted", text: `and ${show.number(groups.length - 14)} more` }));
    }
    legend.replaceChildren(...rows);
  }

  function search(text) {
    state.query = text.trim().toLowerCase();
    if (!state.query) { map.showOnly(null); act.refresh(); return; }
    const matches = new Set(), { ids, sha256, targets, families } = atlas.analyses;
    for (let a = 0; a < ids.length; a++) {
      const family = families[a] < 0 ? "" : atlas.families[families[a]];
      if (ids[a].toLowerCase().includes(state.query) || sha256[a].startsWith(state.query) || targets[a].toLowerCase().includes(state.query) || family.toLowerCase().includes(state.query)) matches.add(atlas.pointOf[a]);
    }
    map.showOnly(matches);
    if (matches.size === 1) act.point([...matches][0], false); else openTab("clusters");
  }

  for (const [name, title] of TABS) tabs.append(panels.make("button", { role: "tab", text: title, "data-tab": name, click: () => openTab(name) }));
  const clustered = atlas.pointOf.reduce((sum, p) => sum + (atlas.cluster[p] >= 0 ? 1 : 0), 0), total = atlas.analyses.ids.length;
  const summary = document.getElementById("summary");
  summary.title = `Model ${atlas.model.id}`;
  summary.textContent = `${show.number(total)} analyses, ${show.number(atlas.clusters.length)} clusters that hold ${show.percent(total ? clustered / total : 0)} of them, ${show.number(atlas.kins.length)} kin above them; fitted ${String(atlas.model.fitted_at).slice(0, 10)}`;
  document.getElementById("colour").addEventListener("change", (event) => { map.colourBy(event.target.value); drawLegend(); });
  let typing = 0;
  document.getElementById("search").addEventListener("input", (event) => { clearTimeout(typing); typing = setTimeout(() => search(event.target.value), 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { drawLegend(); act.refresh(); });
  map.onSelect((p) => { if (p >= 0) act.point(p, false); });
  map.start();
  drawLegend();
  openTab("clusters");
  document.documentElement.dataset.ready = "yes";
})();
