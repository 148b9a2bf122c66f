// Try another threshold on the bins of a histogram, as chart.would_go does.
for (const section of document.querySelectorAll(".threshold")) {
  const numbers = (name) => section.dataset[name].split(" ").map(Number);
  const [edges, rows, bytes] = ["edges", "rows", "bytes"].map(numbers);
  const current = Number(section.dataset.value);
  const [range, typed] = section.querySelectorAll(".try input");
  const output = section.querySelector("output");
  const line = section.querySelector("line.other");
  const sum = (counts) => counts.reduce((left, right) => left + right, 0);
  const count = (value) => value.toLocaleString("en-US");
  const number = (value) => Number(value.toPrecision(6)).toLocaleString("en-US", { maximumFractionDigits: 12 });

  // The position of a value, counted in bins: 2.5 is the middle of the third bin.
  function placeOf(value) {
    if (value <= edges[0]) return 0;
    const inside = edges.slice(1).findIndex((edge) => value < edge);
    if (inside < 0) return rows.length;
    const place = inside + (value - edges[inside]) / (edges[inside + 1] - edges[inside]);
    return Math.abs(place - Math.round(place)) < 1e-6 ? Math.round(place) : place;
  }

  function upTo(counts, place) {
    const whole = Math.floor(place);
    const part = whole < counts.length ? (place - whole) * counts[whole] : 0;
    return sum(counts.slice(0, whole)) + Math.floor(part + 0.5);
  }

  function gone(counts, place) {
    const under = upTo(counts, place);
    return section.dataset.side === "below" ? under : sum(counts) - under;
  }

  function share(part, whole) {
    const value = whole ? part / whole : 0;
    if (value > 0 && value < 0.0001) return "<0.01%";
    return `${(100 * value).toFixed(value >= 0.001 || value === 0 ? 1 : 2)}%`;
  }

  function size(value) {
    for (const [name, factor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
      if (value >= factor) return `${(value / factor).toFixed(1)} ${name}`;
    }
    return `${value} B`;
  }

  function show(value) {
    const place = placeOf(value);
    const lines = gone(rows, place);
    const difference = lines - gone(rows, placeOf(current));
    const about = Number.isInteger(place) ? "" : "about ";
    const comparison = value === current ? "" : ` That is ${difference ? `${count(Math.abs(difference))} ${difference > 0 ? "more" : "fewer"} than` : "as many as"} at ${number(current)}.`;
    output.textContent = `At ${number(value)}: ${about}${count(lines)} lines (${share(lines, sum(rows))}), ${size(gone(bytes, place))}, would be dropped.${comparison}`;
    const at = `${(100 * place) / rows.length}%`;
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    line.setAttribute("visibility", value === current ? "hidden" : "visible");
    range.setAttribute("aria-valuetext", number(value));
  }

  // The slider stops at the edges of bins, where the numbers are exact; the field takes any value.
  function set(value) {
    typed.value = value;
    range.value = Math.round(placeOf(value));
    show(value);
  }

  range.addEventListener("input", () => {
    const value = edges[range.valueAsNumber];
    typed.value = value;
    show(value);
  });
  typed.addEventListener("input", () => {
    if (!Number.isFinite(typed.valueAsNumber)) return;
    range.value = Math.round(placeOf(typed.valueAsNumber));
    show(typed.valueAsNumber);
  });
  section.querySelector(".try button").addEventListener("click", () => set(current));
  section.querySelector(".try").hidden = false;
  set(current);
}
