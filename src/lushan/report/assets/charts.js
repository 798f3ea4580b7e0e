/* Figures in SVG: axes, lines with bands, dots in rows. */

/** Round numbers between two values, about so many. */
function ticks(low, high, count) {
  const span = high - low || Math.abs(high) || 1;
  const raw = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return { values: found, step };
}

function tickText(value, step) {
  if (Math.abs(value) >= 10000) return value.toLocaleString("en", { notation: "compact" });
  if (value !== 0 && step < 0.001) return value.toExponential(1).replace("-", "−");
  const text = String(Number(step.toPrecision(3)));
  const digits = Math.min(4, (text.split(".")[1] || "").length);
  return value.toFixed(digits).replace("-", "−");
}

function scale(low, high, from, to) {
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}

function padded(low, high, share = 0.06) {
  const room = (high - low || Math.abs(high) || 1) * share;
  return [low - room, high + room];
}

/** Draw into a box again whenever its width changes. */
function responsive(box, draw) {
  let width = 0;
  new ResizeObserver((entries) => {
    const now = Math.floor(entries[0].contentRect.width);
    if (now && now !== width) draw((width = now));
  }).observe(box);
}

/**
 * Lines over steps with a band around each.
 *
 * @param {object} o label, unit, series: [{label, colour, steps, mean, low, high, runs}], format
 */
function lineChart(o) {
  const box = el("div", { class: "chart" });
  const readout = el("p", { class: "readout", "aria-live": "polite" });
  responsive(box, (width) => box.replaceChildren(lines(o, width, readout), readout));
  return box;
}

function lines(o, width, readout) {
  const height = Math.max(230, Math.min(330, width * 0.58));
  const pad = { left: 58, right: 14, top: 14, bottom: 44 };
  const flat = (pick) => o.series.flatMap(pick);
  const steps = flat((s) => s.steps);
  const [x0, x1] = [Math.min(...extremes(steps)), Math.max(...extremes(steps))];
  const [y0, y1] = padded(Math.min(...extremes(flat((s) => s.low))), Math.max(...extremes(flat((s) => s.high))));
  const x = scale(x0, x1, pad.left, width - pad.right);
  const y = scale(y0, y1, height - pad.bottom, pad.top);
  const root = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0,
    "aria-label": `${o.label} over optimizer steps, ${plural(o.series.length, "line")}. Arrow keys read the values.`,
  }, svg("title", {}, `${o.label} over optimizer steps`));
  const yt = ticks(y0, y1, height / 60);
  for (const value of yt.values) {
    root.append(
      svg("line", { class: "grid", x1: pad.left, x2: width - pad.right, y1: y(value), y2: y(value) }),
      svg("text", { class: "tick", x: pad.left - 8, y: y(value), "text-anchor": "end", dy: "0.32em" }, tickText(value, yt.step)),
    );
  }
  const xt = ticks(x0, x1, width / 90);
  for (const value of xt.values) {
    root.append(svg("text", { class: "tick", x: x(value), y: height - pad.bottom + 18, "text-anchor": "middle" }, tickText(value, xt.step)));
  }
  root.append(
    svg("line", { class: "axis", x1: pad.left, x2: width - pad.right, y1: height - pad.bottom, y2: height - pad.bottom }),
    svg("text", { class: "label", x: (pad.left + width - pad.right) / 2, y: height - 6, "text-anchor": "middle" }, "optimizer step"),
    svg("text", { class: "label", transform: `translate(13 ${(pad.top + height - pad.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, o.label),
  );
  const points = (values, s) => values.map((value, i) => `${x(s.steps[i]).toFixed(1)} ${y(value).toFixed(1)}`);
  for (const s of o.series) {
    if (s.runs.some((n) => n > 1)) {
      const band = [...points(s.high, s), ...points(s.low, s).reverse()];
      root.append(svg("path", { class: `band c${s.colour}`, d: `M${band.join("L")}Z` }));
    }
  }
  for (const s of o.series) {
    root.append(svg("path", { class: `line c${s.colour}`, d: `M${points(s.mean, s).join("L")}` }));
    const every = Math.max(1, Math.ceil(s.steps.length / 12));
    s.steps.forEach((step, i) => {
      if (i % every && i !== s.steps.length - 1) return;
      root.append(svg("path", { class: `fill c${s.colour}`, d: mark(s.colour, 3), transform: `translate(${x(step)} ${y(s.mean[i])})` }));
    });
  }
  crosshair(root, o, { x, pad, width, height, x0, x1 }, readout);
  return root;
}

/** The least and the greatest of many numbers: `Math.min(...)` takes only so many arguments. */
function extremes(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** What stands at a step: under the pointer, under a finger, or by the arrow keys. */
function crosshair(root, o, at, readout) {
  const steps = [...new Set(o.series.flatMap((s) => s.steps))].sort((a, b) => a - b);
  const line = svg("line", { class: "cross", y1: at.pad.top, y2: at.height - at.pad.bottom, visibility: "hidden" });
  root.append(line);
  let place = -1;
  const hint = "Point at the figure, or use the arrow keys, to read its values.";
  readout.textContent = hint;
  const show = (i) => {
    place = Math.max(0, Math.min(steps.length - 1, i));
    const step = steps[place];
    line.setAttribute("x1", at.x(step));
    line.setAttribute("x2", at.x(step));
    line.setAttribute("visibility", "visible");
    readout.replaceChildren(el("b", {}, `step ${step.toLocaleString("en")}`));
    for (const s of o.series) {
      const k = s.steps.indexOf(step);
      if (k < 0) continue;
      const band = s.runs[k] > 1 ? ` (${o.format(s.low[k])} to ${o.format(s.high[k])}, n = ${s.runs[k]})` : "";
      readout.append(el("span", { class: `read c${s.colour}` }, `${s.label} `, el("b", {}, o.format(s.mean[k])), band));
    }
  };
  const near = (event) => {
    const left = event.clientX - root.getBoundingClientRect().left;
    let best = 0;
    steps.forEach((step, i) => {
      if (Math.abs(at.x(step) - left) < Math.abs(at.x(steps[best]) - left)) best = i;
    });
    show(best);
  };
  root.addEventListener("pointermove", near);
  root.addEventListener("pointerdown", near);
  root.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    show(place < 0 ? (by > 0 ? 0 : steps.length - 1) : place + by);
  });
}

/**
 * Rows of dots along one axis, each with a line for an interval and a tick for its mean.
 *
 * @param {object} o label, format, rows: [{label, heading, colour, dots: [{value, title, go}],
 *   mean, low, high, note}]
 */
function rowChart(o) {
  const box = el("div", { class: "chart" });
  responsive(box, (width) => box.replaceChildren(rowsOfDots(o, width)));
  return box;
}

function rowsOfDots(o, width) {
  const narrow = width < 560;
  const left = narrow ? 10 : Math.min(300, 30 + 7.2 * Math.max(...o.rows.map((row) => textWidth(row.label))));
  const right = narrow ? 14 : 150;
  const step = narrow ? 46 : 30;
  const values = o.rows.flatMap((row) => [...row.dots.map((dot) => dot.value), row.mean, row.low, row.high])
    .filter((value) => value !== null && value !== undefined);
  const [v0, v1] = padded(...extremes(values), 0.05);
  const x = scale(v0, v1, left, width - right);
  let y = 8;
  const parts = [];
  for (const row of o.rows) {
    if (row.heading) {
      y += 22;
      parts.push(svg("text", { class: "heading", x: narrow ? left : 4, y: y + 2 }, row.heading));
      y += 6;
    }
    y += step;
    const middle = y - (narrow ? 8 : step / 2);
    const c = row.colour;
    parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: middle, y2: middle }));
    parts.push(narrow
      ? svg("text", { class: "name", x: left, y: middle - 14 }, row.label)
      : svg("text", { class: "name", x: left - 12, y: middle, "text-anchor": "end", dy: "0.32em" }, fitted(row.label, left - 16), svg("title", {}, row.label)));
    const note = svg("text", {
      class: "value", x: narrow ? width - right : width - right + 12, y: narrow ? middle - 14 : middle,
      "text-anchor": narrow ? "end" : "start", dy: narrow ? 0 : "0.32em",
    }, row.note || "");
    parts.push(note);
    if (row.low !== null && row.low !== undefined) {
      parts.push(svg("line", { class: `whisker c${c}`, x1: x(row.low), x2: x(row.high), y1: middle, y2: middle }));
    }
    for (const dot of row.dots) {
      parts.push(svg("path", { class: `dot c${c}`, d: mark(c, 4.6), transform: `translate(${x(dot.value)} ${middle})` }, svg("title", {}, dot.title)));
    }
    if (row.mean !== null && row.mean !== undefined) {
      parts.push(svg("line", { class: `mean c${c}`, x1: x(row.mean), x2: x(row.mean), y1: middle - 9, y2: middle + 9 }));
    }
  }
  const bottom = y + 6;
  const axis = ticks(v0, v1, (width - left - right) / 80);
  const marks = axis.values.map((value) => [
    svg("line", { class: "grid", x1: x(value), x2: x(value), y1: 8, y2: bottom }),
    svg("text", { class: "tick", x: x(value), y: bottom + 16, "text-anchor": "middle" }, tickText(value, axis.step)),
  ]);
  const height = bottom + 42;
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${o.label}: ${plural(o.rows.length, "row")}` },
    svg("title", {}, o.label), marks.flat(), parts,
    svg("text", { class: "label", x: (left + width - right) / 2, y: bottom + 36, "text-anchor": "middle" }, o.label));
}

/** Places that a text takes, where Chinese characters take two. */
function textWidth(text) {
  return [...text].reduce((sum, c) => sum + (c > "\u2e80" ? 1.9 : 1), 0);
}

/** As much of a text as has room; the whole of it is in its title. */
function fitted(text, room) {
  let kept = text;
  while (kept && textWidth(kept) * 7.2 > room) kept = kept.slice(0, -1);
  return kept === text ? text : `${kept.slice(0, -1)}…`;
}
