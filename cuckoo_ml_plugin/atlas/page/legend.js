// The legend: the groups of the colours, how many of how many analyses each has, and how many groups are named.
const legend = (function () {
  const box = document.getElementById("legend"), FEW = 14;
  let all = false;

  function draw(mode) {
    const { make, outOf } = panels, total = atlas.analyses.ids.length;
    const shown = atlas.pointOf.reduce((sum, _, a) => sum + (filter.showsAnalysis(a) ? 1 : 0), 0);
    if (mode.ends) {
      const strip = document.createElement("canvas"), context = strip.getContext("2d");
      strip.width = 190; strip.height = 1;
      for (let i = 0; i < 190; i++) { context.fillStyle = colours.ramp(i / 189); context.fillRect(i, 0, 1, 1); }
      box.replaceChildren(strip, make("div", { class: "ends" }, make("span", { text: mode.ends[0] }), make("span", { text: mode.ends[1] })), make("div", { class: "muted", text: `${outOf(shown, total)} analyses` }));
      return;
    }
    const counts = new Map();
    for (let a = 0; a < total; a++) {
      const group = mode.ofAnalysis(a), count = counts.get(group) || { shown: 0, all: 0 };
      count.all += 1; count.shown += filter.showsAnalysis(a) ? 1 : 0; counts.set(group, count);
    }
    const groups = [...counts.entries()].filter(([, count]) => count.shown || !filter.isOn()).sort((a, b) => b[1].shown - a[1].shown || a[0] - b[0]);
    const listed = all ? groups : groups.slice(0, FEW), named = listed.filter(([group]) => group >= 0).length;
    const covered = listed.reduce((sum, [, count]) => sum + count.shown, 0), most = [...counts.keys()].filter((group) => group >= 0).length;
    const rows = listed.map(([group, count]) => make("button", { class: map.group() === group ? "selected" : "", "aria-pressed": String(map.group() === group), click: () => { map.toggleGroup(group); draw(mode); } },
      panels.dot(mode.colour(group)), make("bdi", { text: mode.name(group) }), make("span", { class: "count", text: outOf(count.shown, count.all) })));
    const title = make("div", { class: "title muted", text: `${outOf(named, most)} ${mode.noun}, ${outOf(covered, total)} analyses` });
    const more = groups.length > FEW ? [make("button", { class: "more", text: all ? "Show fewer" : `Show all ${show.number(groups.length)}`, click: () => { all = !all; draw(mode); } })] : [];
    box.replaceChildren(title, ...rows, ...more);
  }
  return { draw };
})();
