/* Learning curves, seeds, classes and their confusion. */

/** The main metric, without its split. */
function mainMetric() {
  const { runs, groups } = lushan.get("report");
  for (const g of groupsHere()) {
    for (const r of groups[g].runs) if (runs[r].main) return runs[r].main;
  }
  return null;
}

/** A row for choices at the head of a section, with that of the experiment where there are several. */
function controlsOf(box) {
  const names = [...new Set(lushan.get("report").groups.map((group) => group.experiment))];
  const controls = el("div", { class: "controls" });
  if (names.length > 1) {
    controls.append(select("Experiment", names, state.experiment, (value) => { lookAt(value); changed(); }));
  }
  box.append(controls);
  return controls;
}

/* Learning curves */

function curvesSection(box) {
  watch(() => {
    box.replaceChildren();
    const { curves } = lushan.get("report");
    const metrics = [...new Set(groupsHere().flatMap((g) => Object.keys(curves[g])))];
    controlsOf(box);
    if (!metrics.length) {
      box.append(el("p", { class: "note" }, "No run has recorded numbers while it was trained."));
      return;
    }
    const main = (mainMetric() || "").split("/").pop();
    // A short training has logged its loss once or twice, and each epoch's as often as it had epochs.
    const points = (name) => Math.max(...groupsHere().map((g) => curves[g][name]?.steps.length ?? 0));
    const losses = ["train/loss", "train/epoch_loss"].sort((a, b) => points(b) - points(a));
    const first = [[...losses, "val/loss"], [`val/${main}`, "val/loss"]]
      .map((wanted) => wanted.find((name) => metrics.includes(name)) || metrics[0]);
    box.append(legend(), el("div", { class: "pair" }, [...new Set(first)].map((name) => curveFigure(metrics, name))));
  });
}

function curveFigure(metrics, first) {
  const holder = el("div");
  const draw = (name) => holder.replaceChildren(...curveOf(name));
  draw(first);
  return el("figure", {}, select("Metric", metrics, first, draw), holder);
}

function curveOf(name) {
  const { curves, groups } = lushan.get("report");
  const drawn = groupsHere().filter((g) => state.shown.has(g) && curves[g][name]);
  if (!drawn.length) return [el("p", { class: "note" }, `None of the groups that are drawn has ${name}.`)];
  const by = (lushan.get("report").metrics[name] || { scale: 1 }).scale;
  const series = drawn.map((g) => {
    const c = curves[g][name];
    const scaled = (values) => values.map((value) => value * by);
    return { label: groups[g].label, colour: colourOf(g), steps: c.steps, runs: c.runs, mean: scaled(c.mean), low: scaled(c.low), high: scaled(c.high) };
  });
  const caption = ["Line: mean over the runs of a group"];
  if (series.some((s) => s.runs.some((n) => n > 1))) caption.push("; band: from the lowest run to the highest");
  const cut = drawn.map((g) => curves[g][name]).find((c) => c.of > c.steps.length);
  if (cut) caption.push(`; ${cut.steps.length} of ${cut.of.toLocaleString("en")} steps are drawn`);
  const format = (value) => written(value / by, name);
  return [lineChart({ label: named(name), series, format }), el("figcaption", {}, `${caption.join("")}.`)];
}

/* Seeds */

function seedsSection(box) {
  const chosen = { metric: null };
  watch(() => {
    box.replaceChildren();
    const { runs, groups } = lushan.get("report");
    const here = groupsHere();
    const metrics = [...new Set(here.flatMap((g) => groups[g].runs.flatMap((r) => runs[r].metrics.map((row) => row[0]))))];
    const controls = controlsOf(box);
    if (!metrics.length) {
      box.append(el("p", { class: "note" }, "No run is complete yet."));
      return;
    }
    if (!metrics.includes(chosen.metric)) chosen.metric = mainMetric() || metrics[0];
    const holder = el("div");
    const draw = (name) => { chosen.metric = name; holder.replaceChildren(...seedsOf(name)); };
    controls.append(select("Metric", metrics, chosen.metric, draw));
    box.append(legend(), el("figure", {}, holder));
    draw(chosen.metric);
  });
}

function seedsOf(metric) {
  const { runs, groups } = lushan.get("report");
  const by = (lushan.get("report").metrics[metric] || { scale: 1 }).scale;
  const rows = [];
  const without = [];
  for (const g of groupsHere()) {
    if (!state.shown.has(g)) continue;
    const dots = groups[g].runs.flatMap((r) => {
      const found = runs[r].metrics.find((row) => row[0] === metric);
      if (!found || found[1] === null) return [];
      return [{ value: found[1] * by, title: `seed ${runs[r].seed}: ${written(found[1], metric)} (${runs[r].id})` }];
    });
    const lacking = groups[g].runs.length - dots.length;
    if (lacking) without.push(`${groups[g].label} (${lacking} of ${groups[g].runs.length})`);
    if (!dots.length) continue;
    const { mean, sd } = moments(dots.map((dot) => dot.value));
    const digits = lushan.get("report").metrics[metric]?.digits ?? 4;
    rows.push({
      label: groups[g].label, colour: colourOf(g), dots, mean: dots.length > 1 ? mean : null,
      low: sd === null ? null : mean - sd, high: sd === null ? null : mean + sd,
      note: sd === null ? plain(mean, digits) : `${plain(mean, digits)} ± ${plain(sd, digits)}`,
    });
  }
  const parts = [];
  if (rows.length) {
    parts.push(rowChart({ label: named(metric), rows }));
    parts.push(el("figcaption", {}, "A mark is a run; the upright line is the mean over the seeds, the level one a standard deviation to each side."));
  }
  if (without.length) parts.push(el("p", { class: "note" }, `Without ${metric}: ${without.join("; ")}.`));
  return parts;
}

function moments(values) {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  if (values.length < 2) return { mean, sd: null };
  return { mean, sd: Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1)) };
}

/* Classes */

function classesSection(box) {
  const chosen = { split: null, order: "support" };
  watch(() => {
    box.replaceChildren();
    const { scores } = lushan.get("report");
    const here = new Set(groupsHere());
    const splits = [...new Set(scores.filter((s) => here.has(s.group)).map((s) => s.split))].sort();
    const controls = controlsOf(box);
    if (!splits.length) {
      box.append(el("p", { class: "note" }, "No run has stored predictions with classes."));
      return;
    }
    if (!splits.includes(chosen.split)) chosen.split = splits.includes("test") ? "test" : splits[0];
    const holder = el("div");
    const draw = () => holder.replaceChildren(...classesOf(chosen), ...confusionOf(chosen.split));
    if (splits.length > 1) controls.append(select("Split", splits, chosen.split, (value) => { chosen.split = value; draw(); }));
    controls.append(select("Order", [["support", "most frequent first"], ["worst", "worst first"], ["name", "by name"]], chosen.order, (value) => { chosen.order = value; draw(); }));
    box.append(legend(), holder);
    draw();
  });
}

function classesOf({ split, order }) {
  const { scores, groups } = lushan.get("report");
  const drawn = scores.filter((s) => s.split === split && state.shown.has(s.group) && groups[s.group].experiment === state.experiment);
  if (!drawn.length) return [el("p", { class: "note" }, "None of the groups that are drawn has classes.")];
  const classes = new Map();
  for (const s of drawn) for (const row of s.rows) {
    if (!classes.has(row.label)) classes.set(row.label, []);
    classes.get(row.label).push({ ...row, group: s.group });
  }
  const worst = (rows) => Math.min(...rows.map((row) => row.f1));
  const by = {
    support: ([, a], [, b]) => b[0].support - a[0].support,
    worst: ([, a], [, b]) => worst(a) - worst(b),
    name: ([a], [b]) => a.localeCompare(b),
  }[order];
  const rows = [];
  const ordered = [...classes].sort(by);
  for (const [label, several] of ordered) {
    several.forEach((row, i) => rows.push({
      heading: i ? null : `${label || "(no type)"} · ${row.support.toLocaleString("en")} in gold`,
      label: groups[row.group].label, colour: colourOf(row.group),
      dots: [{ value: row.f1 * 100, title: `precision ${plain(row.precision * 100, 2)}, recall ${plain(row.recall * 100, 2)}` }],
      mean: null, low: row.low === null ? null : row.low * 100, high: row.high === null ? null : row.high * 100,
      note: row.low === null ? plain(row.f1 * 100, 1) : `${plain(row.f1 * 100, 1)} [${plain(row.low * 100, 1)}, ${plain(row.high * 100, 1)}]`,
    }));
  }
  return [el("figure", {}, rowChart({ label: "F1 of the class, %", rows }),
    el("figcaption", {}, "F1 of each class, mean over the runs of a group, with its 95 % interval over the examples (bootstrap). Where the runs evaluated different examples there is none.")),
  classTable(drawn, ordered.map(([label]) => label))];
}

function classTable(drawn, order) {
  const place = new Map(order.map((label, i) => [label, i]));
  const { groups } = lushan.get("report");
  const heads = ["class", "group", "precision, %", "recall, %", "F1, %", "95 % interval", "gold", "predicted", "n"];
  const table = el("table", {},
    el("thead", {}, el("tr", {}, heads.map((name, i) => el("th", { scope: "col", class: i > 1 ? "number" : null }, name)))),
    el("tbody", {}, drawn.flatMap((s) => [...s.rows].sort((a, b) => place.get(a.label) - place.get(b.label)).map((row) => el("tr", {},
      el("th", { scope: "row" }, row.label || "(no type)"), el("td", {}, groups[s.group].label),
      [row.precision, row.recall, row.f1].map((value) => el("td", { class: "number" }, plain(value * 100, 2))),
      el("td", { class: "number", "data-key": row.low ?? "" }, row.low === null ? "–" : `${plain(row.low * 100, 2)} to ${plain(row.high * 100, 2)}`),
      el("td", { class: "number" }, row.support.toLocaleString("en")),
      el("td", { class: "number" }, plain(row.predicted, Number.isInteger(row.predicted) ? 0 : 1)),
      el("td", { class: "number" }, String(row.runs.length)))))));
  sortable(table);
  return el("details", {}, el("summary", {}, "The same as a table, with precision and recall"), scrolling("Scores by class", table));
}

/* Confusion matrices */

const MOST_CLASSES = 24; // rows of a matrix at first

function confusionOf(split) {
  const { confusions, runs, groups } = lushan.get("report");
  const found = confusions.filter((c) => c.split === split && runs[c.run].experiment === state.experiment);
  if (!found.length) return [];
  const options = [];
  for (const g of groupsHere()) {
    const inside = found.filter((c) => runs[c.run].group === g);
    if (!inside.length) continue;
    if (inside.length > 1) options.push([`g${g}`, `${groups[g].label}: all ${inside.length} runs`]);
    for (const c of inside) options.push([`r${c.run}`, `${groups[g].label}: seed ${runs[c.run].seed}`]);
  }
  const chosen = { which: options[0][0], all: false };
  const holder = el("div");
  const draw = () => {
    const parts = found.filter((c) => chosen.which === `r${c.run}` || chosen.which === `g${runs[c.run].group}`);
    holder.replaceChildren(...matrix(parts, chosen, draw, split));
  };
  draw();
  return [el("h3", {}, "Confusion matrix"),
    el("div", { class: "controls" }, select("Runs", options, chosen.which, (value) => { chosen.which = value; draw(); })), holder];
}

function matrix(parts, chosen, draw, split) {
  const cells = new Map();
  const key = (gold, predicted) => JSON.stringify([gold, predicted]);
  const gold = new Map();
  const classes = new Set();
  const mistaken = new Map();
  for (const part of parts) for (const [g, p, n] of part.cells) {
    cells.set(key(g, p), (cells.get(key(g, p)) || 0) + n);
    gold.set(g, (gold.get(g) || 0) + n);
    for (const name of [g, p]) {
      classes.add(name);
      if (g !== p) mistaken.set(name, (mistaken.get(name) || 0) + n);
    }
  }
  const { unpaired, caption } = parts[0];
  let names = [...classes].filter((name) => !(unpaired && name === "")).sort((a, b) => a.localeCompare(b));
  const total = names.length;
  if (total > MOST_CLASSES && !chosen.all) {
    const kept = new Set([...names].sort((a, b) => (mistaken.get(b) || 0) - (mistaken.get(a) || 0)).slice(0, MOST_CLASSES));
    names = names.filter((name) => kept.has(name));
  }
  const rows = unpaired ? [...names, ""] : names;
  const call = (name, none) => (name === "" && unpaired ? none : name);
  const cell = (g, p) => {
    const n = cells.get(key(g, p)) || 0;
    if (g === "" && p === "" && unpaired) return el("td", { class: "number void" });
    const share = n / (gold.get(g) || 1);
    const title = `gold ${call(g, "none")}, predicted ${call(p, "none")}: ${n}${g === "" && unpaired ? "" : `, ${(100 * share).toFixed(1)} % of its gold`}`;
    const td = el("td", { class: `number ${n ? (g === p ? "right" : "wrong") : "nothing"}`, title }, n ? el("button", {
      type: "button", class: "cell", "aria-label": `${title}; show them`,
      onclick: () => confused(parts[0].run, split, g, p, unpaired),
    }, n.toLocaleString("en")) : "·");
    // The share decides how strong the colour is: from none to full in steps of a tenth.
    if (n) td.classList.add(`s${Math.max(1, Math.min(10, Math.round((g === "" && unpaired ? n / Math.max(...[...gold.values()]) : share) * 10)))}`);
    return td;
  };
  const table = el("table", { class: "matrix", id: "confusion" },
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "gold ↓ predicted →"), rows.map((p) => el("th", { scope: "col", class: "number" }, call(p, "missed"))))),
    el("tbody", {}, rows.map((g) => el("tr", {}, el("th", { scope: "row" }, call(g, "spurious")), rows.map((p) => cell(g, p))))));
  const found = [scrolling("Confusion matrix", table)];
  if (total > MOST_CLASSES) {
    found.push(el("p", { class: "quiet" }, chosen.all ? `${total} classes ` : `The ${MOST_CLASSES} classes with most errors, of ${total} `,
      el("button", { type: "button", class: "plain", onclick: () => { chosen.all = !chosen.all; draw(); } }, chosen.all ? "only those with most errors" : "all of them")));
  }
  found.push(el("figcaption", {}, `${caption} Counts of ${plural(parts.length, "run")}; the colour is the share of the gold class. A number leads to its examples${parts.length > 1 ? ", in the first of the runs" : ""}.`));
  return [el("figure", {}, found)];
}
