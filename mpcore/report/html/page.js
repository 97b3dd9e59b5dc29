"use strict";
// Draws what the page holds as data: each plot once it comes into view, its numbers as a table beside it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const PALETTE = ["#7f7f7f", "#4c78a8", "#e45756", "#f58518", "#54a24b", "#b279a2", "#72b7b2", "#eeca3b", "#ff9da6", "#9d755d", "#2f9e9e", "#8c6bb1"];
  const TINTS = ["#9ecae9", "#ffbf79", "#88d27a", "#d6a5c9", "#83bcb6", "#f2cf5b", "#fcbfd2", "#d8b5a5", "#bab0ac", "#b6992d"];
  const MODES = ["fp32", "tf32", "fp16-amp", "bf16-amp", "fp16-manual", "bf16-manual", "bf16-true", "fp16-true", "bf16-sr", "bf16-kahan", "fp8", "fp16-forward"];
  const STATUS = { ok: "good", better: "good", failed: "bad", worse: "bad", known: "doubt", undecided: "doubt", new: "doubt" };
  const drawn = new Map(); // the view that each plot shows

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

  const traceOf = (template, columns) => {
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
    if (where && where[0] === "mode" && MODES.includes(where[1])) {
      trace.marker = { ...trace.marker, color: PALETTE[MODES.indexOf(where[1])] };
      trace.line = { ...trace.line, color: trace.marker.color };
    }
    trace.name = escaped(trace.name);
    return trace;
  };

  const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // Plotly reads some tags

  const draw = (node, view) => {
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), automargin: true };
    const layout = {
      colorway: [...PALETTE.slice(1), ...TINTS], paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), family: "system-ui, sans-serif" }, margin: { t: 20, r: 10, l: 50, b: 40 },
      legend: { orientation: "h", y: -0.2 }, hovermode: "closest", dragmode: false, ...view.layout,
      xaxis: { ...axis, ...view.layout.xaxis }, yaxis: { ...axis, rangemode: "tozero", ...view.layout.yaxis },
      shapes: (view.layout.shapes ?? []).map((shape) => ({ ...shape, fillcolor: colour("--faint"), line: { ...shape.line, color: colour("--faint") } })),
    };
    const traces = view.traces.map((trace) => traceOf(trace, view.columns));
    drawn.set(node, view);
    return Plotly.react(node, traces, layout, { responsive: true, displaylogo: false, displayModeBar: false });
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

  const panelOf = (section, panel) => {
    const select = make("select", {}, ...panel.views.map((view, i) => make("option", { value: i, textContent: view.label })));
    select.setAttribute("aria-label", panel.title);
    const place = make("div");
    const show = () => {
      const view = panel.views[select.value];
      place.querySelectorAll(".plot").forEach((node) => { drawn.delete(node); Plotly.purge(node); });
      if (view.matrix) {
        place.replaceChildren(matrixOf(view));
        return;
      }
      const plot = make("div", { className: "plot" });
      plot.setAttribute("role", "img");
      plot.setAttribute("aria-label", `${panel.title}: ${view.label}. Its numbers are in the table below.`);
      const numbers = make("details", {}, make("summary", { textContent: "Numbers" }));
      numbers.addEventListener("toggle", () => {
        if (numbers.open && numbers.children.length === 1) numbers.append(table(view.columns, view.label));
      });
      place.replaceChildren(plot, numbers);
      draw(plot, view);
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

  const button = document.getElementById("theme");
  const theme = (name) => {
    root.dataset.theme = name;
    button.textContent = name === "dark" ? "Light" : "Dark";
    drawn.forEach((view, node) => draw(node, view));
  };
  button.addEventListener("click", () => theme(root.dataset.theme === "dark" ? "light" : "dark"));
  theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

  document.querySelectorAll("[data-table]").forEach((section) => section.append(table(data.tables[section.dataset.table], section.dataset.table)));
  document.querySelectorAll("[data-panel]").forEach((section) => {
    section.style.minHeight = "34rem"; // before it is drawn, so that links lead to the right place
    whenSeen(section, () => { panelOf(section, data.panels[section.dataset.panel]); section.style.minHeight = ""; });
  });
})();
