/* Predictions one by one: what is wrong, and where. */

const PAGE = 40; // examples that are on the page at a time

const browser = {
  run: null, split: null, kind: "wrong", gold: "", predicted: "", text: "", order: "", page: 0, data: null, draw: null,
};

/** Look at a run's examples. */
function examplesOf(run, split = null) {
  Object.assign(browser, { run, split, gold: "", predicted: "", page: 0, order: "" });
  browser.draw();
}

/** Look at the examples of a cell of the matrix. */
function confused(run, split, gold, predicted, entities) {
  const name = (label) => (entities && label === "" ? NOTHING : label);
  Object.assign(browser, {
    run, split, kind: gold === predicted ? "all" : "wrong", gold: name(gold), predicted: name(predicted), text: "", page: 0, order: "",
  });
  browser.draw();
  document.getElementById("examples").scrollIntoView();
}

const NOTHING = "\u0000none"; // no label is called so

function examplesSection(box) {
  const { runs, groups } = lushan.get("report");
  const having = [...runs.keys()].filter((r) => runs[r].files.length);
  browser.run = having[0];
  let asked = 0;
  browser.draw = async () => {
    const run = runs[browser.run];
    const file = run.files.find((one) => one.split === browser.split)
      || run.files.find((one) => one.split === "test") || run.files[0];
    browser.split = file.split;
    const turn = ++asked; // whoever has asked last is answered
    try {
      const [shared, own] = await Promise.all([lushan.load(file.examples), lushan.load(file.own)]);
      if (turn !== asked) return;
      browser.data = { file, kind: shared.kind, rows: shared.rows, own: own.rows, numbers: own.numbers };
      box.replaceChildren(...browserParts(having, groups));
    } catch (error) {
      if (turn === asked) box.replaceChildren(el("p", { class: "note" }, `The examples cannot be shown: ${error.message}.`));
    }
  };
  // What is far down the page is loaded when it comes near.
  const near = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    near.disconnect();
    if (!asked) browser.draw();
  }, { rootMargin: "800px" });
  near.observe(box);
}

function browserParts(having, groups) {
  const { runs } = lushan.get("report");
  const { file, kind, numbers } = browser.data;
  const list = el("div");
  const count = el("p", { class: "quiet", role: "status", id: "examples-count" });
  const show = () => showExamples(list, count);
  const set = (name) => (value) => { browser[name] = value; browser.page = 0; show(); };
  const controls = el("div", { class: "controls" });
  const several = new Set(runs.map((run) => run.experiment)).size > 1;
  const label = (r) => [several ? runs[r].experiment : null, groups[runs[r].group].label, `seed ${runs[r].seed}`]
    .filter((part, i, all) => part && all.indexOf(part) === i).join(" · ");
  controls.append(select("Run", having.map((r) => [String(r), label(r)]), String(browser.run), (value) => examplesOf(Number(value), browser.split)));
  const splits = runs[browser.run].files.map((one) => one.split);
  if (splits.length > 1) controls.append(select("Split", splits, browser.split, (value) => { browser.split = value; browser.page = 0; browser.draw(); }));
  if (kind !== "numbers") {
    const kinds = kind === "texts" ? [["all", "all"], ["wrong", "not as in gold"], ["right", "as in gold"]] : [["all", "all"], ["wrong", "with an error"], ["right", "without"]];
    controls.append(select("Show", kinds, browser.kind, set("kind")));
  }
  if (kind === "tags" || kind === "labels") {
    const labels = labelsOf(browser.data);
    const none = kind === "tags" ? [[NOTHING, "none (spurious)"], [NOTHING, "none (missed)"]] : [];
    controls.append(
      select("Gold", [["", "any"], ...labels, ...none.slice(0, 1)], browser.gold, set("gold")),
      select("Predicted", [["", "any"], ...labels, ...none.slice(1)], browser.predicted, set("predicted")));
  }
  const orders = [["", "as in the file"], ...numbers.flatMap((name) => [[`-${name}`, `${name}, highest first`], [`+${name}`, `${name}, lowest first`]])];
  if (kind === "numbers") orders.push(["-error", "furthest off first"]);
  if (orders.length > 1) controls.append(select("Order", orders, browser.order, set("order")));
  const search = el("input", { type: "search", id: "examples-search", value: browser.text, autocomplete: "off", oninput: () => set("text")(search.value) });
  controls.append(el("label", { class: "field wide" }, el("span", {}, "Search"), search));
  show();
  const notes = [];
  if (file.left_out) notes.push(el("p", { class: "note" }, `${plural(file.left_out, "example")} of which the run has stored no prediction but its loss ${file.left_out === 1 ? "is" : "are"} not listed.`));
  return [controls, ...notes, count, list];
}

function labelsOf({ kind, rows, own }) {
  const found = new Set();
  rows.forEach((row, i) => {
    const parts = kind === "tags" ? [...row[2], ...own[i][0]].map((span) => span[2]) : [row[2], own[i][0][0]].flat();
    for (const label of parts) found.add(label);
  });
  return [...found].sort((a, b) => a.localeCompare(b));
}

/* Which examples */

const same = (a, b) => a[0] === b[0] && a[1] === b[1] && a[2] === b[2];

function isRight(kind, row, own) {
  if (kind === "tags") return row[2].length === own[0].length && row[2].every((span) => own[0].some((other) => same(span, other)));
  if (kind === "labels") return JSON.stringify([row[2]].flat().sort()) === JSON.stringify([own[0][0]].flat().sort());
  return [row[2]].flat().includes(own[0]);
}

/** Pairs of gold and predicted label of an example, as the matrix counts them. */
function pairsOf(kind, row, own) {
  if (kind === "labels") return [row[2]].flat().flatMap((gold) => [own[0][0]].flat().map((predicted) => [gold, predicted]));
  const at = (spans, span) => spans.find((other) => other[0] === span[0] && other[1] === span[1]);
  const found = row[2].map((span) => [span[2], at(own[0], span)?.[2] ?? NOTHING]);
  for (const span of own[0]) if (!at(row[2], span)) found.push([NOTHING, span[2]]);
  return found;
}

function chosenExamples() {
  const { kind, rows, own, numbers } = browser.data;
  const wanted = browser.text.toLowerCase();
  const labels = (kind === "tags" || kind === "labels") && (browser.gold || browser.predicted);
  const found = [];
  rows.forEach((row, i) => {
    if (kind !== "numbers" && browser.kind !== "all" && isRight(kind, row, own[i]) !== (browser.kind === "right")) return;
    if (labels && !pairsOf(kind, row, own[i]).some(([g, p]) => (!browser.gold || g === browser.gold) && (!browser.predicted || p === browser.predicted))) return;
    if (wanted && !textOf(kind, row, own[i]).toLowerCase().includes(wanted)) return;
    found.push(i);
  });
  const name = browser.order.slice(1);
  const sign = browser.order.startsWith("-") ? -1 : 1;
  const place = numbers.indexOf(name);
  if (place >= 0 || name === "error") {
    const of = (i) => (place >= 0 ? own[i][1][place] : Math.abs(own[i][0] - rows[i][2]));
    found.sort((a, b) => (of(a) === null) - (of(b) === null) || sign * (of(a) - of(b)));
  }
  return found;
}

function textOf(kind, row, own) {
  const said = kind === "tags" ? [sentence(row[1]), row[1].join(" ")] : [row[1], row[2], kind === "labels" ? own[0][0] : own[0]].flat();
  return [row[0], ...said].join("\n");
}

function showExamples(list, count) {
  const { rows, own, kind, numbers } = browser.data;
  const found = chosenExamples();
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  browser.page = Math.min(browser.page, pages - 1);
  const from = browser.page * PAGE;
  const here = found.slice(from, from + PAGE);
  const range = found.length > PAGE ? `, ${from + 1} to ${from + here.length} of them here` : "";
  count.textContent = `${found.length.toLocaleString("en")} of ${plural(rows.length, "example")}${range}`;
  const turn = (by) => () => { browser.page += by; showExamples(list, count); list.parentElement.scrollIntoView(); };
  const pager = pages > 1 ? el("p", { class: "pager" },
    el("button", { type: "button", disabled: browser.page === 0, onclick: turn(-1) }, "← earlier"),
    el("span", {}, `page ${browser.page + 1} of ${pages}`),
    el("button", { type: "button", disabled: browser.page === pages - 1, onclick: turn(1) }, "later →")) : null;
  const draw = { tags: taggedExample, labels: labelledExample, texts: writtenExample, numbers: numberExample }[kind];
  list.replaceChildren(el("ol", { class: "examples" }, here.map((i) => el("li", { class: "example" },
    el("p", { class: "id" }, rows[i][0], numbersOf(numbers, own[i][1])), draw(rows[i], own[i])))));
  if (pager) list.append(pager);
}

function numbersOf(names, values) {
  const known = names.map((name, k) => [name, values[k]]).filter(([, value]) => value !== null);
  return el("span", { class: "quiet" }, known.slice(0, 6).map(([name, value]) => ` · ${name} ${value}`).join(""));
}

/* How an example is drawn */

const WIDE = /[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\u3000-\u303f]/;

/** Whether a blank stands between two words: not between Chinese characters. */
function blank(before, after) {
  return !(WIDE.test(before.at(-1) || "") && WIDE.test(after[0] || ""));
}

function sentence(words) {
  return words.reduce((text, word, i) => text + (i && blank(words[i - 1], word) ? " " : "") + word, "");
}

function taggedExample(row, own) {
  const [, words, gold] = row;
  const right = isRight("tags", row, own);
  const box = el("div", { class: "sides" });
  if (right) return fill(box, {}, [side("both", words, own[0], () => ["right", "✓"])]);
  const there = (spans, span) => spans.some((other) => same(span, other));
  const why = (span, others, none) => {
    if (there(others, span)) return ["right", "✓"];
    const over = others.filter((other) => other[0] < span[1] && span[0] < other[1]);
    if (!over.length) return ["wrong", none];
    const exact = over.some((other) => other[0] === span[0] && other[1] === span[1]);
    return ["wrong", exact ? "type" : over.some((other) => other[2] === span[2]) ? "boundary" : "boundary and type"];
  };
  return fill(box, {}, [
    side("gold", words, gold, (span) => why(span, own[0], "missed")),
    side("predicted", words, own[0], (span) => why(span, gold, "spurious")),
  ]);
}

function side(name, words, spans, verdict) {
  const line = el("p", { class: "words" });
  let i = 0;
  const between = (k) => (k && blank(words[k - 1], words[k]) ? " " : "");
  for (const span of [...spans].sort((a, b) => a[0] - b[0])) {
    if (span[0] < i) continue;
    for (; i < span[0]; i++) line.append(between(i) + words[i]);
    const [kind, why] = verdict(span);
    line.append(between(i), el("mark", { class: kind, title: span[3] === undefined ? null : `probability ${span[3]}` },
      sentence(words.slice(span[0], span[1])), el("small", {}, ` ${span[2]}${why === "✓" ? "" : ` · ${why}`}`)));
    i = span[1];
  }
  for (; i < words.length; i++) line.append(between(i) + words[i]);
  return el("div", { class: "side" }, el("span", { class: "which" }, name === "both" ? "✓ both" : name), line);
}

function texts(parts) {
  return parts.filter((part) => part !== "").map((part) => el("p", { class: "words" }, part));
}

function labelledExample(row, own) {
  const right = isRight("labels", row, own);
  const [predicted, sure, ofGold] = own[0];
  const say = (label, p) => `${[label].flat().join(", ") || "(none)"}${p === null || p === undefined ? "" : ` ${(100 * p).toFixed(1)} %`}`;
  return el("div", {}, texts(row[1]), el("p", { class: "verdict" },
    el("span", { class: "which" }, right ? "✓ both" : "gold"), el("mark", { class: "right" }, say(row[2], right ? sure : ofGold)),
    right ? null : [el("span", { class: "which" }, "predicted"), el("mark", { class: "wrong" }, say(predicted, sure))]));
}

function writtenExample(row, own) {
  const [, source, gold] = row;
  const line = (name, text) => el("div", { class: "side" }, el("span", { class: "which" }, name), el("p", { class: "words" }, text === "" ? el("em", {}, "nothing") : text));
  return el("div", { class: "sides" }, source.map((text) => line("source", text)), [gold].flat().map((text) => line("gold", String(text))), line("predicted", String(own[0])));
}

function numberExample(row, own) {
  return el("div", {}, texts(row[1]), el("p", { class: "verdict" },
    el("span", { class: "which" }, "gold"), el("b", {}, plain(row[2], 3)),
    el("span", { class: "which" }, "predicted"), el("b", {}, plain(own[0], 3)),
    el("span", { class: "quiet" }, `off by ${plain(Math.abs(own[0] - row[2]), 3)}`)));
}
