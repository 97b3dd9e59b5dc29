"use strict";
// Draws what the page holds as data: each plot once it comes into view, its numbers as a table beside it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const PALETTE = ["#7f7f7f", "#4c78a8", "#e45756", "#f58518", "#54a24b", "#b279a2", "#72b7b2", "#eeca3b", "#ff9da6", "#9d755d", "#2f9e9e", "#8c6bb1"];
  const TINTS = ["#9ecae9", "#ffbf79", "#88d27a", "#d6a5c9", "#83bcb6", "#f2cf5b", "#fcbfd2", "#d8b5a5", "#bab0ac", "#b6992d"];
  const MODES = ["fp32", "tf32", "fp16-amp", "bf16-amp", "fp16-manual", "bf16-manual", "bf16-true", "fp16-true", "bf16-sr", "bf16-kahan", "fp8", "fp16-forward"];
  const STATUS = { ok: "good", better: "good", failed: "bad", worse: "bad", known: "doubt", undecided: "doubt", changed: "doubt", saturated: "doubt", incomparable: "doubt", new: "doubt" };
  const SERIES = ["#4c78a8", "#f58518", "#54a24b"]; // what is neither a mode nor a family of kernels
  const HUES = { // of families of kernels, far apart where both are large
    "matrix product": 210, convolution: 275, attention: 0, elementwise: 40, optimiser: 120, "batch normalisation": 180, "layer normalisation": 160, reduction: 325,
    "softmax and loss": 300, "embedding and indexing": 60, "cast and copy": 20, pooling: 85, "layout change": 345, "dropout and random numbers": 245, fill: 100, scaling: 50,
  };
  const SPARE_HUES = [195, 140, 228, 72, 312];
  const GREY = ["other", "all else"];
  const LIGHTNESS = { 8: 84, 16: 70, 32: 36, 64: 24 }; // in per cent, by the width of the numbers
  const HEIGHT = 416; // of a plot, in pixels, at least
  const narrow = matchMedia("(max-width: 40rem)");
  const drawn = new Map(); // how each plot is drawn again

  const make = (name, attributes = {}, ...children) => {
    const node = Object.assign(document.createElement(name), attributes);
    node.append(...children);
    return node;
  };

  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  // Tables

  const shown = (value) => {
    if (value === null || value === undefined) return "-";
    if (typeof value !== "number") return String(value);
    if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e9)) return value.toExponential(2);
    return value.toLocaleString("en", { maximumSignificantDigits: Math.max(4, Math.trunc(Math.abs(value)).toString().length) });
  };

  const before = (a, b) => { // what is missing comes last in either direction
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };

  const table = (columns, caption) => {
    const names = Object.keys(columns);
    const count = names.length ? columns[names[0]].length : 0;
    const textual = names.map((name) => !columns[name].some((value) => typeof value === "number"));
    const rows = Array.from({ length: count }, (_, i) => {
      const cells = names.map((name, j) => {
        const value = columns[name][i];
        return make("td", { className: `${textual[j] ? "text" : ""} ${STATUS[value] ?? ""}`.trim(), textContent: shown(value) });
      });
      return { values: names.map((name) => columns[name][i]), node: make("tr", {}, ...cells) };
    });
    const body = make("tbody", {}, ...rows.map((row) => row.node));
    const heads = names.map((name, j) => {
      const head = make("th", { scope: "col", className: textual[j] ? "text" : "" });
      const button = make("button", { type: "button", textContent: name });
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const missing = (row) => row.values[j] === null || row.values[j] === undefined;
        rows.sort((a, b) => missing(a) - missing(b) || (up ? 1 : -1) * before(a.values[j], b.values[j]));
        body.append(...rows.map((row) => row.node));
      });
      head.append(button);
      return head;
    });
    const words = make("input", { type: "search", placeholder: "filter" });
    words.setAttribute("aria-label", `Filter: ${caption}`);
    const left = make("span", { textContent: `${count} rows` });
    left.setAttribute("aria-live", "polite");
    words.addEventListener("input", () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let kept = 0;
      rows.forEach((row) => {
        const text = row.values.map(shown).join(" ").toLowerCase();
        row.node.hidden = !wanted.every((word) => text.includes(word));
        kept += !row.node.hidden;
      });
      left.textContent = `${kept} of ${count} rows`;
    });
    const whole = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body);
    whole.setAttribute("aria-label", caption);
    const scroller = make("div", { className: "rows", tabIndex: 0 }, whole);
    return make("div", {}, make("div", { className: "choice" }, words, left), scroller);
  };

  // Plots

  const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // Plotly reads some tags

  const cut = (text, length) => {
    const half = Math.floor((length - 1) / 2);
    return text.length > length ? `${text.slice(0, half)}…${text.slice(-half)}` : text;
  };

  const wrapped = (text) => (text.match(/.{1,36}(\s|$)|.{1,36}/g) ?? []).map(escaped).join("<br>"); // as wide as a phone

  const everyValue = (column) => { // in all plots, so that a name has one colour on the whole page
    const views = Object.values(data.panels).flatMap((panel) => panel.views);
    return [...new Set(views.flatMap((view) => view.columns?.[column] ?? []))].sort();
  };

  const familyOf = (kernels) => kernels.split(", ")[0];
  const strangers = everyValue("mode").filter((mode) => !MODES.includes(mode));
  const families = [...new Set(everyValue("kernels").map(familyOf))].filter((family) => !(family in HUES) && !GREY.includes(family));

  const colourOfMode = (mode) => PALETTE[MODES.indexOf(mode)] ?? TINTS[strangers.indexOf(mode) % TINTS.length];

  const colourOfKernels = (kernels) => {
    const family = familyOf(kernels);
    const hue = HUES[family] ?? SPARE_HUES[families.indexOf(family) % SPARE_HUES.length];
    const bits = kernels.match(/(\d+) bits$/)?.[1];
    return `hsl(${hue ?? 0}, ${GREY.includes(family) ? 0 : 60}%, ${LIGHTNESS[bits] ?? 54}%)`;
  };

  const colourOf = (trace, i) => {
    if (trace.where?.[0] === "mode") return colourOfMode(trace.where[1]);
    if (trace.where?.[0] === "kernels") return colourOfKernels(trace.where[1]);
    return SERIES[Math.max(0, i) % SERIES.length];
  };

  const traceOf = (template, columns, i) => {
    const { where, bounds, ...trace } = template;
    const length = Object.values(columns)[0].length;
    const rows = Array.from({ length }, (_, i) => i).filter((i) => !where || columns[where[0]][i] === where[1]);
    const column = (name) => rows.map((i) => columns[name][i]);
    for (const key of ["x", "y", "text"]) {
      if (typeof trace[key] === "string") trace[key] = column(trace[key].slice(1));
    }
    if (trace.text) trace.text = trace.text.map(escaped);
    if (bounds) {
      const [low, high] = bounds.map(column);
      const off = (edge, sign) => edge.map((value, i) => sign * (value - trace.y[i]));
      trace.error_y = { type: "data", symmetric: false, array: off(high, 1), arrayminus: off(low, -1), thickness: 1, width: 2 };
    }
    if (trace.type === "bar") { // the axis may show a part of the name only
      const intervals = bounds ? rows.map((row) => ` (${bounds.map((bound) => shown(columns[bound][row])).join(" to ")})`) : [];
      trace.hoverinfo = "text+name";
      trace.hovertext = trace.x.map((name, i) => `${wrapped(name)}<br>${shown(trace.y[i])}${intervals[i] ?? ""}`);
    }
    const color = colourOf(template, i);
    trace.marker = { ...trace.marker, color };
    trace.line = { ...trace.line, color };
    trace.name = escaped(trace.name);
    return trace;
  };

  const standing = (traces, names, layout) => ({ traces, layout: { ...layout, xaxis: { ...layout.xaxis, type: "category", categoryarray: names, tickvals: names } } });

  const lying = (traces, names, layout) => { // a row for each bar that is there, or for each stack
    const grouped = layout.barmode === "group";
    const rows = traces.map(() => []);
    let row = 0;
    const middles = names.map((name) => {
      const first = row;
      traces.forEach((trace, i) => trace.x.forEach((x, j) => {
        if (x !== name) return;
        rows[i][j] = row;
        row += grouped;
      }));
      const last = Math.max(first, row - 1);
      row += 1;
      return (first + last) / 2;
    });
    const turned = ({ x, y, error_y, ...trace }, i) => ({ ...trace, orientation: "h", width: 0.8, x: y, y: rows[i], error_x: error_y });
    const shape = ({ xref, yref, x0, x1, y0, y1, ...rest }) => ({ ...rest, xref: yref, yref: xref, x0: y0, x1: y1, y0: x0, y1: x1 });
    return { traces: traces.map(turned), layout: {
      ...layout, height: Math.max(HEIGHT, 80 + row * (grouped ? 13 : 30)), barmode: grouped ? "overlay" : "stack", xaxis: { ...layout.yaxis, side: "top" },
      yaxis: { ...layout.xaxis, tickvals: middles, autorange: "reversed", showgrid: false, zeroline: false }, shapes: layout.shapes.map(shape),
    } };
  };

  const barsOf = (traces, names, layout) => { // few stand, many lie in a plot that grows with them
    const ticktext = names.map((name) => escaped(cut(name, narrow.matches ? 18 : 32)));
    const named = { ...layout, xaxis: { ...layout.xaxis, tickmode: "array", ticktext } };
    return (names.length < (narrow.matches ? 4 : 12) ? standing : lying)(traces, names, named);
  };

  const layoutOf = (view) => {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), automargin: true };
    const dates = view.columns.measured ?? [];
    const once = dates.length === 1 ? { tickmode: "array", tickvals: dates } : {}; // else all ticks read the same
    return {
      height: HEIGHT, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), family: "system-ui, sans-serif" }, margin: { t: 20, r: 10, l: 50, b: 40 },
      showlegend: false, hovermode: "closest", hoverlabel: { namelength: -1 }, dragmode: false, ...view.layout,
      xaxis: { ...axis, ...once, ...view.layout.xaxis }, yaxis: { ...axis, rangemode: "tozero", ...view.layout.yaxis },
      shapes: (view.layout.shapes ?? []).map((shape) => ({ ...shape, fillcolor: colour("--faint"), line: { ...shape.line, color: colour("--faint") } })),
    };
  };

  const keyOf = ({ plot, hidden }, trace, name, i) => { // a press hides the trace, which stays so when it is drawn again
    const sign = make("i", { className: trace.marker.symbol ?? "" });
    sign.style.background = trace.marker.color;
    const key = make("button", { type: "button", ariaPressed: String(trace.visible) }, sign, name);
    key.addEventListener("click", () => {
      const on = key.ariaPressed !== "true";
      key.ariaPressed = String(on);
      if (on) hidden.delete(name);
      else hidden.add(name);
      Plotly.restyle(plot, { visible: on }, [i]);
    });
    return make("li", {}, key);
  };

  const draw = ({ legend, plot, missing, hidden }, view) => {
    const named = view.traces.filter((template) => template.showlegend !== false);
    const all = view.traces.map((template) => ({ name: template.name, trace: traceOf(template, view.columns, named.indexOf(template)) }));
    const [seen, unseen] = [true, false].map((is) => all.filter(({ trace }) => trace.y.some((value) => value !== null) === is));
    seen.forEach(({ name, trace }) => { trace.visible = !hidden.has(name); });
    const keys = seen.map(({ name, trace }, i) => trace.showlegend !== false && keyOf({ plot, hidden }, trace, name, i)).filter(Boolean);
    legend.replaceChildren(...(keys.length > 1 ? keys : []));
    missing.textContent = unseen.map(({ name }) => `${name}: no finite ${view.layout.yaxis.title.text}`).join("; ");
    const upright = { traces: seen.map(({ trace }) => trace), layout: layoutOf(view) };
    const { type, x } = view.traces[0];
    const { traces, layout } = type === "bar" ? barsOf(upright.traces, [...new Set(view.columns[x.slice(1)])], upright.layout) : upright;
    Plotly.react(plot, traces, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  };

  const matrixOf = ({ label, matrix }) => {
    const most = Math.max(1, ...matrix.flat());
    const head = make("tr", {}, make("th", { textContent: "true \\ predicted" }), ...matrix.map((_, j) => make("th", { scope: "col", textContent: j })));
    const rows = matrix.map((row, i) => make("tr", {}, make("th", { scope: "row", textContent: i }), ...row.map((count) => {
      const cell = make("td", { textContent: count.toLocaleString("en") });
      cell.style.background = `color-mix(in srgb, #4c78a8 ${Math.round((60 * count) / most)}%, transparent)`;
      return cell;
    })));
    const whole = make("table", { className: "matrix" }, make("thead", {}, head), make("tbody", {}, ...rows));
    whole.setAttribute("aria-label", label);
    return make("div", { className: "rows", tabIndex: 0 }, whole);
  };

  const { hardware, measured } = data.tables.runs; // all panels open with the machine of the newest run
  const newest = hardware?.[measured.indexOf([...measured].sort().at(-1))];

  const panelOf = (section, panel) => {
    const select = make("select", {}, ...panel.views.map((view, i) => make("option", { value: i, textContent: view.label })));
    select.setAttribute("aria-label", panel.title);
    const ofNewest = panel.views.findIndex((view) => `${view.label},`.includes(` on ${newest},`));
    select.value = Math.max(0, ofNewest);
    const place = make("div");
    const show = () => {
      const view = panel.views[select.value];
      place.querySelectorAll(".plot").forEach((node) => { drawn.delete(node); Plotly.purge(node); });
      if (view.matrix) {
        place.replaceChildren(matrixOf(view));
        return;
      }
      const [legend, plot, missing] = [make("ul", { className: "legend" }), make("div", { className: "plot" }), make("p", { className: "doubt" })];
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", `${panel.title}: ${view.label}. Its numbers are in the table below.`);
      const numbers = make("details", {}, make("summary", { textContent: "Numbers" }));
      numbers.addEventListener("toggle", () => {
        if (numbers.open && numbers.children.length === 1) numbers.append(table(view.columns, view.label));
      });
      place.replaceChildren(legend, plot, missing, numbers);
      const hidden = new Set();
      drawn.set(plot, () => draw({ legend, plot, missing, hidden }, view));
      drawn.get(plot)();
    };
    select.addEventListener("change", show);
    section.append(make("div", { className: "choice" }, select), place);
    show();
  };

  // The page

  const whenSeen = (section, act) => {
    const watch = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        watch.disconnect();
        act();
      }
    }, { rootMargin: "50%" });
    watch.observe(section);
  };

  const drawAll = () => drawn.forEach((again) => again());
  narrow.addEventListener("change", drawAll);

  const button = document.getElementById("theme");
  const theme = (name) => {
    root.dataset.theme = name;
    button.textContent = name === "dark" ? "Light" : "Dark";
    drawAll();
  };
  button.addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
  theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

  document.querySelectorAll("[data-table]").forEach((section) => section.append(table(data.tables[section.dataset.table], section.dataset.table)));
  document.querySelectorAll("[data-panel]").forEach((section) => {
    section.style.minHeight = "34rem"; // before it is drawn, so that links lead to the right place
    whenSeen(section, () => { panelOf(section, data.panels[section.dataset.panel]); section.style.minHeight = ""; });
  });
})();
