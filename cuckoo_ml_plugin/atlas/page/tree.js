// The condensed tree: groups from sparse (top) to dense (bottom), as wide as they are large. A click leads to the cluster.
const tree = (function () {
  function picture(act) {
    const { starts, sizes, births, deaths, clusters } = atlas.tree;
    if (starts.length < 2) return [panels.make("p", { class: "muted", text: "There is no tree: the clustering is not HDBSCAN's, or it has only one group." })];
    const all = sizes[0] || 1, deepest = Math.max(...deaths, 0.1), HEIGHT = 420;
    const svg = panels.draw("svg", { viewBox: `0 0 ${all} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": "Condensed tree" });
    for (let node = 0; node < starts.length; node++) {
      const cluster = clusters[node], top = births[node] / deepest * (HEIGHT - 4), tall = Math.max((deaths[node] - births[node]) / deepest * (HEIGHT - 4), 1.5);
      const box = panels.draw("rect", { x: starts[node], y: top, width: Math.max(sizes[node], all / 2000), height: tall, fill: cluster < 0 ? colours.variable("--noise") : atlas.clusters[cluster].colour, "fill-opacity": cluster < 0 ? 0.3 : 0.9, class: "stem", "vector-effect": "non-scaling-stroke" });
      const title = panels.draw("title", {});
      title.textContent = `${cluster < 0 ? "no cluster" : atlas.clusters[cluster].name}: ${show.number(sizes[node])} analyses, density ${births[node].toFixed(2)} to ${deaths[node].toFixed(2)}`;
      box.append(title);
      if (cluster >= 0) box.addEventListener("click", () => act.cluster(cluster));
      svg.append(box);
    }
    const holder = panels.make("div", { id: "tree" });
    holder.append(svg);
    return [panels.make("p", { class: "muted", text: `Groups from sparse (top) to dense (bottom, density ${deepest.toFixed(1)}), as wide as they are large: ${show.number(all)} analyses in total. A group that became a cluster has the colour of the cluster; click it to see the cluster.` }), holder];
  }
  return { picture };
})();
