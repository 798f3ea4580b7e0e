/* Calibration, precision-recall and ROC curves, and thresholds, where probabilities are stored. */

function probabilitiesSection(box) {
  const chosen = { run: null, split: null, label: null };
  watch(() => {
    box.replaceChildren();
    const { runs, groups } = lushan.get("report");
    const here = groupsHere().flatMap((g) => groups[g].runs).filter((r) => runs[r].probabilities);
    const controls = controlsOf(box);
    if (!here.length) {
      box.append(el("p", { class: "note" }, "No run has stored the probabilities of its predictions."));
      return;
    }
    if (!here.includes(chosen.run)) [chosen.run] = here;
    const name = (r) => `${groups[runs[r].group].label} · seed ${runs[r].seed}`;
    const holder = el("div", { id: "probabilities-of-run" });
    const draw = () => {
      const run = chosen.run;
      lushan.load(runs[run].probabilities).then((content) => {
        if (run === chosen.run) holder.replaceChildren(...probabilitiesOf(content, chosen, draw));
      }, (error) => holder.replaceChildren(el("p", { class: "note" }, error.message)));
    };
    if (here.length > 1) {
      controls.append(select("Run", here.map((r) => [String(r), name(r)]), String(chosen.run), (value) => { chosen.run = Number(value); draw(); }));
    }
    box.append(holder);
    draw();
  });
}

function probabilitiesOf(content, chosen, draw) {
  const splits = Object.keys(content.splits).sort();
  if (!splits.includes(chosen.split)) chosen.split = splits.includes("test") ? "test" : splits[0];
  const found = content.splits[chosen.split];
  const labels = found.classes.map((one) => one.label);
  if (!labels.includes(chosen.label)) [chosen.label] = labels;
  const one = found.classes.find((c) => c.label === chosen.label);
  const controls = el("div", { class: "controls" });
  if (splits.length > 1) controls.append(select("Split", splits, chosen.split, (value) => { chosen.split = value; draw(); }));
  const parts = [controls, calibrationOf(found, chosen.split)];
  if (!one) return parts;
  const choice = el("div", { class: "controls" });
  if (labels.length > 1) choice.append(select("Class", labels, chosen.label, (value) => { chosen.label = value; draw(); }));
  const cut = found.classes_in_all > 2 && labels.length < found.classes_in_all ? ` The ${labels.length} most frequent of ${found.classes_in_all} classes have curves.` : "";
  parts.push(el("h3", {}, "One class against the rest"), choice, curvesOfClass(one, cut), thresholdsOf(one, chosen.split));
  return parts;
}

function calibrationOf(found, split) {
  const rows = [["as they are", found.plain]];
  if (found.scaled) rows.push([`temperature ${plain(found.scaled.temperature, 2)}`, found.scaled]);
  const what = found.several ? "of each class by itself" : "of the most probable class";
  const series = rows.map(([label, one], i) => ({
    label, colour: i, points: one.bins.filter((bin) => bin.count).map((bin) => [bin.stated, bin.observed]),
    titles: one.bins.filter((bin) => bin.count).map((bin) => `${plural(bin.count, "case")} from ${plain(bin.low, 2)} to ${plain(bin.high, 2)}: ${plain(bin.stated, 3)} stated, ${plain(bin.observed, 3)} so`),
  }));
  const bins = found.plain.bins.length;
  let how = `Probability ${what} in ${bins} bins of equal width, and how often it is so; on the dotted line both are equal.`;
  if (found.scaled) how += ` The temperature was fitted on the ${plural(found.scaled.fitted_on, "example")} of validation, by likelihood.`;
  else how += split === "validation" ? " No temperature is shown: it would be fitted on this split." : " Without stored predictions on validation there is no temperature.";
  const heads = ["probabilities", `ECE (${bins} bins), %`, "Brier", "NLL, nats"];
  const table = el("table", { class: "calibration" },
    el("thead", {}, el("tr", {}, heads.map((head, i) => el("th", { scope: "col", class: i ? "number" : null }, head)))),
    el("tbody", {}, rows.map(([label, one]) => el("tr", {}, el("th", { scope: "row" }, label),
      [plain(100 * one.ece, 2), plain(one.brier, 4), plain(one.nll, 4)].map((text) => el("td", { class: "number" }, text))))));
  return el("div", { class: "pair" },
    el("figure", {}, squareChart({ label: "Reliability diagram", x: "probability", y: "share that is so", series, diagonal: true, marks: true }), keyOf(series), el("figcaption", {}, how)),
    el("figure", {}, scrolling("Calibration", table), el("figcaption", {}, "ECE: mean distance of the marks to the line, over examples. Brier: mean squared error, summed over classes and halved of two; NLL: mean negative log-likelihood.")));
}

function curvesOfClass(one, cut) {
  const share = one.support / one.total;
  const text = (value) => (value === null ? "undefined" : plain(100 * value, 2));
  const figure = (label, x, y, points, diagonal, caption) => el("figure", {},
    squareChart({ label: `${label} of ${one.label}`, x, y, diagonal, series: [{ label: one.label, colour: 0, points }] }),
    el("figcaption", {}, caption));
  return el("div", { class: "pair" },
    figure("Precision and recall", "recall", "precision", one.pr, false, `Average precision ${text(one.average_precision)} %; chance would have ${plain(100 * share, 2)} % (${one.support.toLocaleString("en")} of ${plural(one.total, "example")}).${cut}`),
    figure("ROC curve", "false positives", "true positives", one.roc, true, `Area ${text(one.area)} %; chance has 50 %.`));
}

function thresholdsOf(one, split) {
  if (!one.thresholds.length) return el("p", { class: "quiet" }, "Thresholds are chosen on validation, and this run has stored no predictions of it.");
  const heads = ["aim", "threshold", "precision, %", "recall, %", "F1, %"];
  if (split !== "validation") heads.push(`${split}: precision, %`, "recall, %", "F1, %");
  const cells = (values) => values.map((value) => el("td", { class: "number" }, plain(100 * value, 2)));
  const table = el("table", { class: "thresholds" },
    el("thead", {}, el("tr", {}, heads.map((head, i) => el("th", { scope: "col", class: i ? "number" : null }, head)))),
    el("tbody", {}, one.thresholds.map((t) => el("tr", {}, el("th", { scope: "row" }, t.aim),
      t.threshold === null
        ? el("td", { colspan: heads.length - 1 }, "not reached on validation")
        : [el("td", { class: "number" }, plain(t.threshold, 4)), ...cells(t.validation), ...(split === "validation" ? [] : cells(t.here))]))));
  return el("figure", {}, scrolling("Thresholds", table), el("figcaption", {},
    `Thresholds on the probability of ${one.label}, chosen on validation${split === "validation" ? ", where they are shown" : ` and applied to ${split}`}: the class counts from there on.`));
}

/** Names of the lines of a figure. */
function keyOf(series) {
  if (series.length < 2) return el("span");
  return el("p", { class: "readout" }, series.map((s) => el("span", { class: `read c${s.colour}` }, s.label)));
}

/** Lines in a square from 0 to 1. */
function squareChart(o) {
  const box = el("div", { class: "chart" });
  responsive(box, (width) => box.replaceChildren(square(o, Math.min(width, 460))));
  return box;
}

function square(o, width) {
  const pad = { left: 52, right: 12, top: 12, bottom: 44 };
  const height = width - pad.left - pad.right + pad.top + pad.bottom;
  const x = scale(0, 1, pad.left, width - pad.right);
  const y = scale(0, 1, height - pad.bottom, pad.top);
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": o.label }, svg("title", {}, o.label));
  for (const value of [0, 0.2, 0.4, 0.6, 0.8, 1]) {
    root.append(
      svg("line", { class: "grid", x1: pad.left, x2: width - pad.right, y1: y(value), y2: y(value) }),
      svg("line", { class: "grid", x1: x(value), x2: x(value), y1: pad.top, y2: height - pad.bottom }),
      svg("text", { class: "tick", x: pad.left - 8, y: y(value), "text-anchor": "end", dy: "0.32em" }, value.toFixed(1)),
      svg("text", { class: "tick", x: x(value), y: height - pad.bottom + 18, "text-anchor": "middle" }, value.toFixed(1)),
    );
  }
  if (o.diagonal) root.append(svg("line", { class: "axis", "stroke-dasharray": "4 4", x1: x(0), x2: x(1), y1: y(0), y2: y(1) }));
  for (const s of o.series) {
    const points = s.points.map(([a, b]) => `${x(a).toFixed(1)} ${y(b).toFixed(1)}`);
    if (points.length) root.append(svg("path", { class: `line c${s.colour}`, d: `M${points.join("L")}` }));
    if (o.marks) s.points.forEach(([a, b], i) => root.append(svg("path", { class: `dot c${s.colour}`, d: mark(s.colour, 4.6), transform: `translate(${x(a)} ${y(b)})` }, svg("title", {}, s.titles[i]))));
  }
  root.append(
    svg("text", { class: "label", x: (pad.left + width - pad.right) / 2, y: height - 6, "text-anchor": "middle" }, o.x),
    svg("text", { class: "label", transform: `translate(13 ${(pad.top + height - pad.bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, o.y),
  );
  return root;
}
