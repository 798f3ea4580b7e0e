/* Tables that sort, and the table of all runs. */

/** What a cell is sorted by: its number where it begins with one, else its text. */
function sortKey(cell) {
  if (cell.dataset.key !== undefined) return cell.dataset.key === "" ? null : Number(cell.dataset.key);
  const text = cell.textContent.trim();
  if (text === "" || text === "–" || text === "-") return null;
  const found = /^[+−-]?\d[\d,]*(\.\d+)?(e[+−-]?\d+)?(?=$|[\s%])/.exec(text);
  return found ? Number(found[0].replaceAll(",", "").replaceAll("−", "-")) : text;
}

function compared(a, b) {
  if (a === null || b === null) return (a === null) - (b === null); // what is not there goes last
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, { numeric: true });
}

/** Make a table's heads buttons that sort it. A row with `data-of` stays below the one before it. */
function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = el("button", { type: "button", class: "sort" }, [...head.childNodes]);
    head.replaceChildren(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      sortRows(table.tBodies[0], column, up ? 1 : -1);
    });
  });
}

function sortRows(body, column, sign) {
  const blocks = [];
  for (const row of body.rows) {
    if (row.dataset.of !== undefined) blocks.at(-1).rows.push(row);
    else blocks.push({ key: sortKey(row.cells[column]), rows: [row] });
  }
  blocks.sort((a, b) => (a.key === null || b.key === null ? compared(a.key, b.key) : sign * compared(a.key, b.key)));
  body.append(...blocks.flatMap((block) => block.rows));
}

function scrolling(label, table) {
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table);
}

/* All runs */

function runsSection(box) {
  const { runs } = lushan.get("report");
  const chosen = { text: "", state: "", metrics: firstMetrics(runs) };
  const holder = el("div");
  const count = el("p", { class: "quiet", role: "status", id: "runs-count" });
  const filter = el("input", {
    type: "search", id: "runs-filter", placeholder: "name, key or value", autocomplete: "off",
    oninput: () => { chosen.text = filter.value; show(); },
  });
  const states = [...new Set(runs.map((run) => run.state))];
  const draw = () => { holder.replaceChildren(runsTable(chosen)); show(); };
  const show = () => {
    const shown = filterRuns(holder, chosen);
    count.textContent = `${shown} of ${plural(runs.length, "run")} shown`;
  };
  const controls = el("div", { class: "controls" },
    el("label", { class: "field wide" }, el("span", {}, "Filter"), filter));
  if (states.length > 1) {
    controls.append(select("State", [["", "all"], ...states], "", (value) => { chosen.state = value; show(); }));
  }
  box.append(controls, metricChoice(chosen, draw), count, holder);
  draw();
}

/** The metrics that are columns at first: the main metric of each experiment, and its losses. */
function firstMetrics(runs) {
  const found = new Set();
  for (const run of runs) {
    const names = run.metrics.map((row) => row[0]);
    const main = run.main && run.main.split("/").pop();
    for (const name of names) if (name === run.main || name.endsWith(`/${main}`)) found.add(name);
    const loss = ["test/loss", "val/loss"].find((name) => names.includes(name));
    if (loss) found.add(loss);
  }
  return [...found];
}

function metricChoice(chosen, draw) {
  const { runs } = lushan.get("report");
  const all = [...new Set(runs.flatMap((run) => run.metrics.map((row) => row[0])))];
  if (all.length <= chosen.metrics.length) return null;
  const summary = el("summary");
  const label = () => { summary.textContent = `Columns: ${chosen.metrics.length} of ${plural(all.length, "metric")}`; };
  const boxes = all.map((name) => {
    const box = el("input", {
      type: "checkbox",
      onchange: () => {
        const kept = new Set(chosen.metrics);
        if (box.checked) kept.add(name); else kept.delete(name);
        chosen.metrics = all.filter((metric) => kept.has(metric));
        label();
        draw();
      },
    });
    box.checked = chosen.metrics.includes(name);
    return el("label", { class: "check" }, box, name);
  });
  label();
  return el("details", { class: "columns" }, summary, el("div", { class: "checks" }, boxes));
}

function runsTable(chosen) {
  const { runs, groups, keys } = lushan.get("report");
  const several = new Set(runs.map((run) => run.experiment)).size > 1;
  const heads = ["run", ...(several ? ["experiment"] : []), ...keys, "seed", "state"];
  const table = el("table", { id: "runs-table" },
    el("thead", {}, el("tr", {},
      heads.map((name) => el("th", { scope: "col" }, name)),
      chosen.metrics.map((name) => el("th", { scope: "col", class: "number" }, named(name))),
      el("th", { scope: "col", class: "number" }, "time"))));
  const body = el("tbody");
  runs.forEach((run, number) => {
    const values = groups[run.group].values;
    const button = el("button", { type: "button", class: "plain", "aria-expanded": "false" }, run.id);
    const row = el("tr", { id: `run-${number}`, "data-state": run.state },
      el("th", { scope: "row" }, button),
      several ? el("td", {}, run.experiment) : null,
      keys.map((key) => el("td", {}, values[key] ?? "–")),
      el("td", { class: "number" }, run.seed === null ? "–" : String(run.seed)),
      el("td", {}, statePill(run)),
      chosen.metrics.map((name) => metricCell(run, name)),
      el("td", { class: "number", "data-key": run.seconds ?? "" }, duration(run.seconds)));
    button.addEventListener("click", () => unfold(row, button, number));
    body.append(row);
  });
  table.append(body);
  sortable(table);
  const box = scrolling("All runs", table);
  if (runs.length > 25) box.classList.add("long");
  return box;
}

function statePill(run) {
  const kind = { complete: "good", failed: "bad", damaged: "bad" }[run.state] || "warn";
  return el("span", { class: `pill ${kind}`, title: run.reason || null }, run.state);
}

function metricCell(run, name) {
  const found = run.metrics.find((row) => row[0] === name);
  if (!found || found[1] === null) return el("td", { class: "number", "data-key": "" }, "–");
  const [, value, low, high] = found;
  const range = low === null || high === null ? null : `95 % interval ${written(low, name)} to ${written(high, name)}`;
  return el("td", { class: "number", "data-key": value, title: range }, written(value, name));
}

/** All that is known of a run, in a row below its own. */
function unfold(row, button, number) {
  const next = row.nextElementSibling;
  if (next && next.dataset.of !== undefined) {
    next.remove();
    button.setAttribute("aria-expanded", "false");
    return;
  }
  button.setAttribute("aria-expanded", "true");
  row.after(el("tr", { class: "unfolded", "data-of": number }, el("td", { colspan: row.cells.length }, runDetails(number))));
}

function runDetails(number) {
  const run = lushan.get("report").runs[number];
  const facts = [["folder", run.folder], ["started", run.started], ...run.facts].filter((fact) => fact[1]);
  const box = el("div", { class: "details" });
  if (run.reason) box.append(el("p", { class: "note" }, `${run.state}: ${run.reason}`));
  if (run.command) box.append(el("pre", {}, run.command));
  box.append(el("dl", {}, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
  if (run.notes.length) box.append(el("ul", {}, run.notes.map((note) => el("li", {}, note))));
  if (run.metrics.length) {
    box.append(el("table", { class: "small" },
      el("thead", {}, el("tr", {}, ["metric", "value", "95 % interval"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, run.metrics.map(([name, value, low, high]) => el("tr", {},
        el("th", { scope: "row" }, named(name)),
        el("td", { class: "number" }, written(value, name)),
        el("td", { class: "number" }, low === null || high === null ? "" : `${written(low, name)} to ${written(high, name)}`))))));
  }
  if (run.files.length) {
    box.append(el("p", {}, el("button", {
      type: "button", class: "plain",
      onclick: () => { examplesOf(number); document.getElementById("examples").scrollIntoView(); },
    }, "its examples")));
  }
  return box;
}

/** Hide the rows that do not have all words of the filter; the number that is left. */
function filterRuns(holder, chosen) {
  const words = chosen.text.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  let hidden = false;
  for (const row of holder.querySelectorAll("tbody")[0].rows) {
    if (row.parentElement.parentElement.id !== "runs-table") continue;
    if (row.dataset.of === undefined) {
      const run = lushan.get("report").runs[Number(row.id.slice(4))];
      const text = `${row.textContent} ${run.folder} ${run.reason || ""}`.toLowerCase();
      hidden = !words.every((word) => text.includes(word)) || (chosen.state !== "" && chosen.state !== row.dataset.state);
      shown += !hidden;
    }
    row.hidden = hidden;
  }
  return shown;
}
