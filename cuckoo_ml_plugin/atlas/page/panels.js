// The parts that panels are made of. All data goes in as text; none of it is ever parsed as HTML.
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

  const cells = (...texts) => make("tr", {}, ...texts.map((text) => make("th", text.startsWith("#") ? { class: "number", text: text.slice(1) } : { text })));
  const table = (head, ...rows) => make("table", {}, ...(head.length ? [make("thead", {}, cells(...head))] : []), make("tbody", {}, ...rows));
  const muted = (text) => make("p", { class: "muted", text });
  const space = () => document.createTextNode(" ");
  // "12 of 23", or "23" where all are shown.
  const outOf = (some, all) => (some === all ? show.number(all) : `${show.number(some)} of ${show.number(all)}`);

  // A bar of the labels of a cluster or kin, in the colours of their families.
  function mix(group) {
    const bar = make("div", { class: "mix", title: group.labels.map(([family, n]) => `${atlas.families[family]} ${n}`).join(", ") || "no labels" });
    for (const [family, count] of group.labels) {
      const part = make("span");
      part.style.width = `${100 * count / group.size}%`;
      part.style.background = colours.ofFamily(family);
      bar.append(part);
    }
    return bar;
  }

  const nameCell = (group) => make("td", {}, dot(group.colour), space(), make("bdi", { text: group.name }), space(), make("span", { class: "muted", text: group.id }));
  const familyCell = (family) => make("td", { class: `family${family < 0 ? " muted" : ""}` }, ...(family < 0 ? ["none"] : [dot(colours.ofFamily(family)), space(), make("bdi", { text: atlas.families[family] })]));
  // The first cells of an analysis: its id with its target, its label and its date.
  const analysisCells = (a) => [
    make("td", {}, make("bdi", { text: atlas.analyses.ids[a] }), make("div", { class: "muted cut" }, make("bdi", { text: atlas.analyses.targets[a] }))),
    familyCell(atlas.analyses.families[a]), make("td", { class: "day", text: show.day(atlas.analyses.days[a]) }),
  ];
  const score = (p) => make("td", { class: `number${atlas.anomaly[p] >= atlas.threshold ? " warn" : ""}`, text: show.score(atlas.anomaly[p]) });

  return { make, draw, row, link, dot, table, muted, space, outOf, mix, nameCell, familyCell, analysisCells, score };
})();
