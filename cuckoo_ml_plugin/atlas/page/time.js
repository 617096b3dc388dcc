// The brush over time: bars of analyses by date. Dragging, or the two dates below, choose a span of days.
const time = (function () {
  const section = document.getElementById("time"), bars = document.getElementById("bars"), within = document.getElementById("within");
  const inputs = [document.getElementById("from"), document.getElementById("to")];
  const { first, last } = atlas.days, MOST = 120, HEIGHT = 40;
  const width = Math.max(1, Math.ceil((last - first + 1) / MOST)), count = last < 0 ? 0 : Math.ceil((last - first + 1) / width);
  const binOf = (day) => Math.floor((day - first) / width);
  let chosen = [-1, -1], listener = () => {}, grip = -1;

  function draw() {
    if (!count) { section.hidden = true; return; }
    const all = new Float64Array(count), shown = new Float64Array(count);
    let dated = 0, visible = 0;
    atlas.analyses.days.forEach((day, a) => {
      if (day < 0) return;
      dated += 1; all[binOf(day)] += 1;
      if (filter.showsAnalysis(a)) { visible += 1; shown[binOf(day)] += 1; }
    });
    const highest = Math.max(...all), tall = (n) => (n ? Math.max(1, n / highest * HEIGHT) : 0);
    const svg = panels.draw("svg", { viewBox: `0 0 ${count} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (let bin = 0; bin < count; bin++) {
      const title = panels.draw("title", {});
      title.textContent = `${show.day(first + bin * width)}${width > 1 ? ` to ${show.day(Math.min(last, first + bin * width + width - 1))}` : ""}: ${show.number(shown[bin])} of ${show.number(all[bin])} analyses`;
      svg.append(panels.draw("g", {}, title, panels.draw("rect", { class: "track", x: bin + 0.06, y: 0, width: 0.88, height: HEIGHT }), panels.draw("rect", { class: "rest", x: bin + 0.06, y: HEIGHT - tall(all[bin]), width: 0.88, height: tall(all[bin]) }),
        panels.draw("rect", { class: "bar", x: bin + 0.06, y: HEIGHT - tall(shown[bin]), width: 0.88, height: tall(shown[bin]) })));
    }
    if (chosen[0] >= 0) svg.append(panels.draw("rect", { class: "brush", x: (chosen[0] - first) / width, y: 0, width: (chosen[1] - chosen[0] + 1) / width, height: HEIGHT }));
    bars.replaceChildren(svg);
    inputs[0].value = show.day(chosen[0] < 0 ? first : chosen[0]); inputs[1].value = show.day(chosen[0] < 0 ? last : chosen[1]);
    within.textContent = filter.isOn() ? `${show.number(visible)} of ${show.number(dated)} analyses` : `${show.number(dated)} analyses`;
  }

  function choose(from, to) {
    const low = Math.max(first, Math.min(from, to)), high = Math.min(last, Math.max(from, to));
    if (low > high || (low === first && high === last)) listener(-1, -1); else listener(low, high);
  }
  function dayAt(event) {
    const box = bars.getBoundingClientRect();
    return first + width * Math.max(0, Math.min(count - 1, Math.floor((event.clientX - box.left) / box.width * count)));
  }
  function drag(event) { const day = dayAt(event); choose(Math.min(grip, day), Math.max(grip, day) + width - 1); }
  bars.addEventListener("pointerdown", (event) => { grip = dayAt(event); bars.setPointerCapture(event.pointerId); drag(event); });
  bars.addEventListener("pointermove", (event) => { if (grip >= 0) drag(event); });
  for (const end of ["pointerup", "pointercancel"]) bars.addEventListener(end, () => { grip = -1; });
  for (const input of inputs) {
    if (count) [input.min, input.max] = [show.day(first), show.day(last)];
    input.addEventListener("change", () => { const days = inputs.map((one) => one.valueAsNumber / 86400000); if (days.every(Number.isFinite)) choose(...days); });
  }
  document.getElementById("ever").addEventListener("click", () => listener(-1, -1));
  return { draw, onChoose(callback) { listener = callback; }, show(from, to) { chosen = [from, to]; } };
})();
