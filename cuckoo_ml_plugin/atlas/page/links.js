// The state of the page in its address, so that a link shows the same: #cluster=c17, #find=mutex&from=2016-05-23.
const links = (function () {
  const written = { text: location.hash.slice(1) };
  const idOf = (groups, number) => (number >= 0 ? groups[number].id : "");
  const numberOf = (groups, id) => groups.findIndex((group) => group.id === id);
  const day = (text) => { const time = Date.parse(`${text}T00:00:00Z`); return Number.isNaN(time) ? -1 : time / 86400000; };

  function encode(state) {
    const values = {
      cluster: idOf(atlas.clusters, state.cluster), kin: idOf(atlas.kins, state.kin),
      analysis: state.point >= 0 ? atlas.analyses.ids[atlas.starts[state.point]] : "", behaviour: state.behaviour, find: state.query,
      tab: state.tab === state.usualTab() ? "" : state.tab, colour: state.colour === "cluster" ? "" : state.colour,
      from: state.from >= 0 ? show.day(state.from) : "", to: state.from >= 0 ? show.day(state.to) : "",
    };
    return new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();
  }

  // The state that an address asks for, and what it asks for that is not here.
  function decode(text) {
    const values = new URLSearchParams(text), value = (name) => values.get(name) || "", a = atlas.analyses.ids.indexOf(value("analysis"));
    const wanted = {
      cluster: numberOf(atlas.clusters, value("cluster")), kin: numberOf(atlas.kins, value("kin")), point: a < 0 ? -1 : atlas.pointOf[a],
      behaviour: value("behaviour"), query: value("find"), tab: value("tab"), colour: value("colour") in colours.modes ? value("colour") : "cluster",
      from: day(value("from")), to: day(value("to")),
    };
    if (wanted.from < 0 || wanted.to < wanted.from) wanted.from = wanted.to = -1;
    const missing = ["cluster", "kin", "analysis"].filter((name) => value(name) && wanted[name === "analysis" ? "point" : name] < 0);
    return { wanted, missing: missing.map((name) => `${name} ${value(name).slice(0, 100)}`) };
  }

  return {
    to: (name, value) => "#" + new URLSearchParams([[name, value]]),
    read: () => decode(location.hash.slice(1)),
    // replace: the browser's Back button does not come back to the state before.
    write(state, replace) {
      const text = encode(state);
      if (text === written.text) return;
      written.text = text;
      if (replace) location.replace("#" + text); else location.hash = text;
    },
    onChange(callback) {
      addEventListener("hashchange", () => {
        const text = location.hash.slice(1);
        if (text === written.text) return;
        written.text = text; callback();
      });
    },
  };
})();
