// The map: points on a canvas that can be moved, zoomed and clicked. A grid finds the point under the pointer.
const map = (function () {
  const canvas = document.getElementById("map"), tip = document.getElementById("tip"), context = canvas.getContext("2d");
  // CELLS: of the grid, per side. REACH: of a click, in pixels. MANY: points from which they are drawn as squares.
  // CLOSE: the share of the map that stays visible at least when the view moves to points.
  const CELLS = 160, REACH = 12, MANY = 6000, CLOSE = 0.16;
  const view = { scale: 1, dx: 0, dy: 0 };
  const selection = { mode: "cluster", point: -1, group: null };
  let width = 0, height = 0, ratio = 1, waiting = false, buckets = [], listener = () => {};

  const grid = new Map();
  for (let p = 0; p < atlas.count; p++) {
    const key = cellOf(atlas.x[p]) * CELLS + cellOf(atlas.y[p]);
    if (grid.has(key)) grid.get(key).push(p); else grid.set(key, [p]);
  }
  function cellOf(value) { return Math.max(0, Math.min(CELLS - 1, Math.floor((value + 1) / 2 * CELLS))); }
  // The map is centred in the space beside the legend.
  const key = document.getElementById("legend");
  const wide = matchMedia("(min-width: 901px)");  // on narrower windows the style sheet puts the legend below the map
  const shift = () => (wide.matches && !key.hidden ? (key.offsetWidth + 14) / 2 : 0);
  const middleX = () => width / 2 + shift(), middleY = () => height / 2;
  // The map fills its space: distances across and up are scaled apart, up to STRETCH, as their axes mean nothing.
  const STRETCH = 1.7, MARGIN = 34, all = bounds(Array.from({ length: atlas.count }, (_, p) => p));
  function units() {
    const across = Math.max(width - 2 * shift() - 2 * MARGIN, 50) / Math.max(all.right - all.left, 0.1), up = Math.max(height - 2 * MARGIN, 50) / Math.max(all.bottom - all.top, 0.1);
    return [Math.min(across, up * STRETCH) * view.scale, Math.min(up, across * STRETCH) * view.scale];
  }
  const centre = [(all.left + all.right) / 2, (all.top + all.bottom) / 2];
  const origin = ([ux, uy]) => [middleX() + view.dx - centre[0] * ux, middleY() + view.dy - centre[1] * uy];
  function toScreen(p) { const unit = units(), [ox, oy] = origin(unit); return [ox + atlas.x[p] * unit[0], oy + atlas.y[p] * unit[1]]; }
  function bounds(points) {
    const box = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
    for (const p of points) {
      box.left = Math.min(box.left, atlas.x[p]); box.right = Math.max(box.right, atlas.x[p]);
      box.top = Math.min(box.top, atlas.y[p]); box.bottom = Math.max(box.bottom, atlas.y[p]);
    }
    return box;
  }

  const middles = atlas.clusters.map(() => [0, 0, 0, 0]);
  for (let p = 0; p < atlas.count; p++) {
    const cluster = atlas.cluster[p];
    if (cluster < 0) continue;
    middles[cluster][0] += atlas.x[p]; middles[cluster][1] += atlas.y[p]; middles[cluster][2] += 1;
    middles[cluster][3] += atlas.y[p] ** 2;
  }
  const bySize = atlas.clusters.map((_, i) => i).sort((a, b) => atlas.clusters[b].size - atlas.clusters[a].size);

  function fillBuckets() {
    const mode = colours.modes[selection.mode], groups = new Map();
    for (let p = 0; p < atlas.count; p++) {
      const group = mode.group(p);
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(p);
    }
    buckets = [...groups.entries()].sort((a, b) => a[0] - b[0]).map(([group, points]) => ({ group, colour: mode.colour(group), points }));
  }

  function visible(p) {
    if (!filter.shows(p)) return false;
    if (selection.group === null) return true;
    const mode = colours.modes[selection.mode];
    for (let a = atlas.starts[p]; a < atlas.starts[p + 1]; a++) if (mode.ofAnalysis(a) === selection.group) return true;
    return false;
  }

  // Whether a cluster has points that are shown and so is named.
  let shownClusters = null;
  function clusterShown(cluster) {
    if (!filter.isOn()) return true;
    if (shownClusters === null) {
      shownClusters = new Set();
      for (let p = 0; p < atlas.count; p++) if (filter.shows(p)) shownClusters.add(atlas.cluster[p]);
    }
    return shownClusters.has(cluster);
  }

  function draw() {
    waiting = false;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const filtered = filter.isOn() || selection.group !== null;
    const radius = Math.max(1.1, Math.min(9, (atlas.count > MANY ? 1.4 : atlas.count > 1000 ? 3 : 4) * Math.sqrt(view.scale)));
    for (const pass of filtered ? [false, true] : [true]) {
      for (const bucket of buckets) {
        context.fillStyle = pass ? bucket.colour : colours.variable("--noise");
        context.globalAlpha = pass ? 0.85 : 0.16;
        paint(bucket, radius, pass, filtered);
      }
    }
    context.globalAlpha = 1;
    if (selection.group === null) names();
    if (selection.point >= 0) ring(selection.point, radius);
  }

  function paint(bucket, radius, pass, filtered) {
    const unit = units(), [ux, uy] = unit, [cx, cy] = origin(unit), quick = atlas.count > MANY && radius < 3;
    for (const p of bucket.points) {
      if (filtered && visible(p) !== pass) continue;
      const sx = cx + atlas.x[p] * ux, sy = cy + atlas.y[p] * uy;
      if (sx < -9 || sy < -9 || sx > width + 9 || sy > height + 9) continue;
      const r = radius * Math.min(4, Math.sqrt(atlas.size(p)));
      if (quick) { context.fillRect(sx - r, sy - r, 2 * r, 2 * r); continue; }
      context.beginPath(); context.arc(sx, sy, r, 0, 7); context.fill();
    }
  }

  function names() {
    context.font = "12px system-ui, sans-serif"; context.textAlign = "center"; context.textBaseline = "middle";
    context.lineWidth = 3.5; context.lineJoin = "round";  // a thin edge keeps the letters readable and the points visible
    const unit = units(), [ox, oy] = origin(unit), labels = [], ground = colours.variable("--ground"), ink = colours.variable("--ink");
    for (const cluster of bySize.slice(0, 400)) {
      const [x, y, n, squares] = middles[cluster];
      if (!n || !clusterShown(cluster)) continue;
      const above = 13 + Math.min(60, 1.4 * Math.sqrt(Math.max(squares / n - (y / n) ** 2, 0)) * unit[1]);
      const sx = ox + x / n * unit[0], sy = oy + y / n * unit[1] - above;
      const text = atlas.clusters[cluster].name.slice(0, 24), half = context.measureText(text).width / 2 + 5;
      if (sx < half || sy < 8 || sx > width - half || sy > height - 8) continue;
      if (labels.some(([tx, ty, th]) => Math.abs(tx - sx) < th + half && Math.abs(ty - sy) < 18)) continue;
      labels.push([sx, sy, half]);
      context.strokeStyle = ground; context.strokeText(text, sx, sy);
      context.fillStyle = ink; context.fillText(text, sx, sy);
      if (labels.length > 60) break;
    }
  }

  function ring(p, radius) {
    const [sx, sy] = toScreen(p);
    context.lineWidth = 2; context.strokeStyle = colours.variable("--ink");
    context.beginPath(); context.arc(sx, sy, radius * Math.min(4, Math.sqrt(atlas.size(p))) + 5, 0, 7); context.stroke();
  }

  function redraw() { if (!waiting) { waiting = true; requestAnimationFrame(draw); } }

  function resize() {
    const box = canvas.getBoundingClientRect();
    ratio = window.devicePixelRatio || 1; width = box.width; height = box.height;
    canvas.width = Math.max(1, Math.round(width * ratio)); canvas.height = Math.max(1, Math.round(height * ratio));
    redraw();
  }

  function pointAt(sx, sy) {
    const unit = units(), [ux, uy] = unit, [ox, oy] = origin(unit), x = (sx - ox) / ux, y = (sy - oy) / uy;
    let best = -1, nearest = REACH * REACH;
    for (let i = cellOf(x - REACH / ux); i <= cellOf(x + REACH / ux); i++) {
      for (let j = cellOf(y - REACH / uy); j <= cellOf(y + REACH / uy); j++) {
        for (const p of grid.get(i * CELLS + j) || []) {
          const distance = ((atlas.x[p] - x) * ux) ** 2 + ((atlas.y[p] - y) * uy) ** 2;
          if (distance < nearest && visible(p)) { nearest = distance; best = p; }
        }
      }
    }
    return best;
  }

  function zoomAt(factor, sx = middleX(), sy = middleY()) {
    const scale = Math.max(0.5, Math.min(400, view.scale * factor)), real = scale / view.scale;
    view.dx = (sx - middleX()) * (1 - real) + view.dx * real;
    view.dy = (sy - middleY()) * (1 - real) + view.dy * real;
    view.scale = scale; redraw();
  }

  function whole() { view.scale = 1; view.dx = 0; view.dy = 0; redraw(); }

  function goTo(points) {
    if (!points.length || !width) return;
    const box = bounds(points);
    view.scale = 1;
    const [ux, uy] = units(), across = Math.max(box.right - box.left, CLOSE), up = Math.max(box.bottom - box.top, CLOSE);
    view.scale = Math.max(1, Math.min((width - 2 * shift()) / (across * ux), height / (up * uy)) * 0.7);
    view.dx = (centre[0] - (box.left + box.right) / 2) * ux * view.scale; view.dy = (centre[1] - (box.top + box.bottom) / 2) * uy * view.scale;
    redraw();
  }

  function showTip(p, sx, sy) {
    tip.hidden = p < 0;
    canvas.classList.toggle("over", p >= 0);
    if (p < 0) return;
    const first = atlas.starts[p], cluster = atlas.cluster[p], lines = [atlas.analyses.ids[first]];
    if (atlas.size(p) > 1) lines[0] += ` and ${show.number(atlas.size(p) - 1)} more`;
    if (atlas.family[p] >= 0) lines.push(atlas.families[atlas.family[p]]);
    lines.push(show.days(p)); lines.push(cluster < 0 ? "no cluster" : `cluster ${atlas.clusters[cluster].name}`, ...(atlas.kin[p] < 0 ? [] : [`kin ${atlas.kins[atlas.kin[p]].name}`]), `anomaly score ${show.score(atlas.anomaly[p])}`);
    tip.replaceChildren(...lines.map((line, i) => { const row = document.createElement(i ? "div" : "strong"); row.textContent = line; return row; }));
    tip.style.left = `${Math.min(sx + 14, width - tip.offsetWidth - 6)}px`;
    tip.style.top = `${Math.min(sy + 14, height - tip.offsetHeight - 6)}px`;
  }

  let grip = null;
  canvas.addEventListener("pointerdown", (event) => { grip = [event.offsetX, event.offsetY, view.dx, view.dy, false]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip) { showTip(pointAt(event.offsetX, event.offsetY), event.offsetX, event.offsetY); return; }
    const [x, y, dx, dy] = grip;
    if (Math.hypot(event.offsetX - x, event.offsetY - y) > 4) grip[4] = true;
    if (grip[4]) { canvas.classList.add("moving"); tip.hidden = true; view.dx = dx + event.offsetX - x; view.dy = dy + event.offsetY - y; redraw(); }
  });
  canvas.addEventListener("pointerup", (event) => {
    const moved = grip && grip[4];
    grip = null; canvas.classList.remove("moving");
    if (!moved) listener(pointAt(event.offsetX, event.offsetY));
  });
  canvas.addEventListener("pointercancel", () => { grip = null; canvas.classList.remove("moving"); });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoomAt(Math.exp(-event.deltaY * 0.0015), event.offsetX, event.offsetY); }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (steps[event.key]) { view.dx += steps[event.key][0]; view.dy += steps[event.key][1]; redraw(); }
    else if (event.key === "+" || event.key === "=") zoomAt(1.4);
    else if (event.key === "-") zoomAt(1 / 1.4);
    else if (event.key === "0") whole();
    else return;
    event.preventDefault();
  });
  document.getElementById("closer").addEventListener("click", () => zoomAt(1.6));
  document.getElementById("farther").addEventListener("click", () => zoomAt(1 / 1.6));
  document.getElementById("whole").addEventListener("click", whole);
  new ResizeObserver(resize).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { fillBuckets(); redraw(); });

  return {
    start() { fillBuckets(); resize(); },
    colourBy(mode) { if (mode === selection.mode) return; selection.mode = mode; selection.group = null; fillBuckets(); redraw(); },
    onSelect(callback) { listener = callback; },
    select(point) { selection.point = point; redraw(); },
    refilter() { shownClusters = null; redraw(); },
    group: () => selection.group,
    toggleGroup(group) { selection.group = selection.group === group ? null : group; redraw(); return selection.group; },
    mode: () => selection.mode, whole, goTo, redraw, toScreen,
  };
})();
