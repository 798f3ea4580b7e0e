/* Predictions one by one: what is wrong, and where. What a value is, its field has said: here are
   parts to draw (a text, marked spans, chips, a number, an image, a dialogue), and no task. */

const PAGE = 40; // examples that are on the page at a time

const browser = {
  run: null, split: null, show: "wrong", gold: "", predicted: "", text: "", order: "", page: 0, beside: "", data: null, draw: null,
};

/** Show a run's examples. */
function examplesOf(run, split = null) {
  Object.assign(browser, { run, split, gold: "", predicted: "", page: 0, order: "" });
  browser.draw();
}

/** Show the examples of a cell of the matrix. */
function confused(run, split, gold, predicted, unpaired) {
  const name = (label) => (unpaired && label === "" ? NOTHING : label);
  Object.assign(browser, {
    run, split, show: gold === predicted ? "all" : "wrong", gold: name(gold), predicted: name(predicted), text: "", page: 0, order: "",
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
    const turn = ++asked; // the last question is answered
    try {
      // Runs on the same data share its examples, in the same order.
      const peers = having.filter((r) => r !== browser.run)
        .map((r) => [r, runs[r].files.find((one) => one.examples === file.examples)]).filter(([, of]) => of);
      const asides = browser.beside ? peers : [];
      const [shared, own, ...theirs] = await Promise.all([file.examples, file.own, ...asides.map(([, of]) => of.own)].map((name) => lushan.load(name)));
      if (turn !== asked) return;
      const others = asides.map(([r], k) => [r, theirs[k].rows]);
      browser.data = { ...own, file, own: own.rows, rows: shared.rows, peers: peers.length, others };
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
  const { file, own, numbers, classes, strict, unpaired, peers } = browser.data;
  const list = el("div");
  const count = el("p", { class: "quiet", role: "status", id: "examples-count" });
  const show = () => showExamples(list, count);
  const set = (name) => (value) => { browser[name] = value; browser.page = 0; show(); };
  const controls = el("div", { class: "controls" });
  const several = new Set(runs.map((run) => run.experiment)).size > 1;
  const label = (r) => [several ? runs[r].experiment : null, groups[runs[r].group].label, `seed ${runs[r].seed}`]
    .filter((part, i, all) => part && all.indexOf(part) === i).join(" · ");
  browser.data.label = label;
  controls.append(select("Run", having.map((r) => [String(r), label(r)]), String(browser.run), (value) => examplesOf(Number(value), browser.split)));
  if (peers) {
    controls.append(select("Beside", [["", "this run alone"], ["all", "what all runs predict"]], browser.beside, (value) => { browser.beside = value; browser.draw(); }));
  }
  const splits = runs[browser.run].files.map((one) => one.split);
  if (splits.length > 1) controls.append(select("Split", splits, browser.split, (value) => { browser.split = value; browser.page = 0; browser.draw(); }));
  if (own.some((row) => row[2] !== null)) {
    const [wrong, right] = strict ? ["with an error", "without"] : ["not as in gold", "as in gold"];
    controls.append(select("Show", [["all", "all"], ["wrong", wrong], ["right", right]], browser.show, set("show")));
  }
  if (classes.length) {
    const labels = [...classes].sort((a, b) => a.localeCompare(b));
    const none = unpaired ? [[NOTHING, "none (spurious)"], [NOTHING, "none (missed)"]] : [];
    controls.append(
      select("Gold", [["", "any"], ...labels, ...none.slice(0, 1)], browser.gold, set("gold")),
      select("Predicted", [["", "any"], ...labels, ...none.slice(1)], browser.predicted, set("predicted")));
  }
  const orders = [["", "as in the file"], ...numbers.flatMap((name) => [[`-${name}`, `${name}, highest first`], [`+${name}`, `${name}, lowest first`]])];
  if (orders.length > 1) controls.append(select("Order", orders, browser.order, set("order")));
  const search = el("input", { type: "search", id: "examples-search", value: browser.text, autocomplete: "off", oninput: () => set("text")(search.value) });
  controls.append(el("label", { class: "field wide" }, el("span", {}, "Search"), search));
  show();
  const notes = [];
  if (file.left_out) notes.push(el("p", { class: "note" }, `${plural(file.left_out, "example")} without a stored prediction ${file.left_out === 1 ? "is" : "are"} not listed.`));
  return [controls, ...notes, count, list];
}

/* Which examples */

function chosenExamples() {
  const { rows, own, numbers, classes } = browser.data;
  const wanted = browser.text.toLowerCase();
  const name = (place) => (place === null ? NOTHING : classes[place]);
  const fits = ([gold, predicted]) => (!browser.gold || name(gold) === browser.gold) && (!browser.predicted || name(predicted) === browser.predicted);
  const decided = own.some((row) => row[2] !== null);
  const found = [];
  own.forEach(([, , right, , pairs], i) => {
    if (decided && browser.show !== "all" && right !== (browser.show === "right")) return;
    if (classes.length && (browser.gold || browser.predicted) && !pairs.some(fits)) return;
    if (wanted && !textOf(rows[i], own[i]).toLowerCase().includes(wanted)) return;
    found.push(i);
  });
  const place = numbers.indexOf(browser.order.slice(1));
  const sign = browser.order.startsWith("-") ? -1 : 1;
  if (place >= 0) {
    const of = (i) => own[i][1][place];
    found.sort((a, b) => (of(a) === null) - (of(b) === null) || sign * (of(a) - of(b)));
  }
  return found;
}

/** All text of an example, to search in. */
function textOf([id, inputs, gold], own) {
  const named = [...inputs, ...own[5]].map(([, part]) => part);
  return [id, ...[...named, gold, own[0]].map(textOfPart)].join("\n");
}

function textOfPart([kind, content, more]) {
  if (kind === "several") return content.map(textOfPart).join("\n");
  if (kind === "turns") return content.map(([who, parts]) => [who, ...parts.map(textOfPart)].join("\n")).join("\n");
  if (kind === "spans") return more.map((span) => span[2]).join("\n");
  return [content, more ?? ""].flat().join("\n");
}

function showExamples(list, count) {
  const { rows, own, numbers, strict } = browser.data;
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
  list.replaceChildren(el("ol", { class: "examples" }, here.map((i) => el("li", { class: "example" },
    el("p", { class: "id" }, rows[i][0], numbersOf(numbers, own[i][1])), exampleParts(rows[i], own[i], strict), othersOf(i)))));
  if (pager) list.append(pager);
}

function numbersOf(names, values) {
  const known = names.map((name, k) => [name, values[k]]).filter(([, value]) => value !== null);
  return el("span", { class: "quiet" }, known.slice(0, 6).map(([name, value]) => ` · ${name} ${value}`).join(""));
}

/* How an example is drawn */

function exampleParts([, inputs, gold], [predicted, , right, marks, , details], strict) {
  const named = new Map(inputs);
  const marked = new Set([gold, predicted].filter(([kind]) => kind === "spans").map(([, of]) => of));
  const side = (name, part, own = null) => el("div", { class: "side" },
    el("span", { class: "which" }, name), el("div", {}, drawPart(part, named, own)));
  // What a mark stands in is drawn with the marks, and not once more alone.
  const box = el("div", { class: "sides" }, inputs.filter(([name]) => !marked.has(name)).map(([name, part]) => side(name, part)));
  const all = right === true ? () => [true, ""] : () => null; // without marks all of it is right, or nothing is known
  const marksOf = (k) => (marks ? (i) => marks[k][i] : all);
  if (right === true && strict) box.append(side("✓ both", predicted, marksOf(1)));
  else box.append(side("gold", gold, marksOf(0)), side("predicted", predicted, marksOf(1)));
  return fill(box, {}, details.map(([name, part]) => side(name, part)));
}

/** What other runs predict of an example, side by side: images of a text by their seeds. */
function othersOf(i) {
  const { rows, others, label } = browser.data;
  if (!others.length) return null;
  return el("div", { class: "others" }, others.map(([r, own]) => el("figure", {},
    drawPart(own[i][0], new Map(rows[i][1]), null), el("figcaption", {}, label(r)))));
}

const DRAW = {
  text: (content) => el("p", { class: "words" }, content === "" ? el("em", {}, "nothing") : content),
  number: (value) => el("b", {}, plain(value, 3)),
  json: (content) => el("pre", {}, content),
  image: (path, alternative) => el("img", { src: path, alt: alternative, loading: "lazy" }),
  several: (parts, _, named, marks) => el("div", {}, parts.map((part) => drawPart(part, named, marks))),
  turns: (said, _, named) => el("div", {}, said.map(([who, parts]) => el("div", { class: "side" },
    el("span", { class: "which" }, who), el("div", {}, parts.map((part) => drawPart(part, named, null)))))),
  chips: (names, _, named, marks) => el("p", { class: "verdict" },
    names.length ? names.map((name, i) => piece(name, "", marks?.(i))) : el("em", {}, "none")),
  spans: (of, found, named, marks) => spansIn(Array.from(String(named.get(of)?.[1] ?? "")), found, marks),
};

/** A part as its field has stated it; what is not known here is shown as it is. */
function drawPart([kind, content, more], named, marks) {
  return Object.hasOwn(DRAW, kind) ? DRAW[kind](content, more, named, marks) : DRAW.json(JSON.stringify([kind, content, more]));
}

/** A span or a chip with its mark: right or wrong, and why. */
function piece(text, label, mark, title = null) {
  const small = [label, mark?.[1]].filter(Boolean).join(" · ");
  return el("mark", { class: mark ? (mark[0] ? "right" : "wrong") : "plain", title }, text, small ? el("small", {}, ` ${small}`) : null);
}

/** Spans of a text, given by places of its characters. */
function spansIn(characters, spans, marks) {
  const line = el("p", { class: "words" });
  const cut = (from, to) => characters.slice(from, to).join("");
  let at = 0;
  for (const [[start, end, label, title], i] of spans.map((span, k) => [span, k]).sort(([a], [b]) => a[0] - b[0])) {
    if (start < at) continue;
    line.append(cut(at, start), piece(cut(start, end), label, marks?.(i), title));
    at = end;
  }
  line.append(cut(at));
  return line;
}
