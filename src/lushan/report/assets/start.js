/* In what two runs differ; and the start. */

function configsSection(box) {
  const { runs, groups, configs } = lushan.get("report");
  if (runs.length < 2 || !configs.keys.length) return false;
  const label = (r) => `${runs[r].experiment === groups[runs[r].group].label ? "" : `${runs[r].experiment} · `}${groups[runs[r].group].label} · seed ${runs[r].seed}`;
  const options = [...runs.keys()].map((r) => [String(r), label(r)]);
  const other = groups.length > 1 ? groups[1].runs[0] : 1;
  const chosen = { one: groups[0].runs[0], other };
  const holder = el("div");
  const draw = () => {
    const [a, b] = [configs.runs[chosen.one], configs.runs[chosen.other]];
    const keys = [...configs.keys.keys()].filter((k) => a[k] !== b[k]);
    if (!keys.length) {
      holder.replaceChildren(el("p", { class: "note" }, "These runs differ in no key that can change a result."));
      return;
    }
    holder.replaceChildren(scrolling("Keys that differ", el("table", { id: "differences" },
      el("thead", {}, el("tr", {}, ["key", "first", "second"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, keys.map((k) => el("tr", {}, el("th", { scope: "row" }, el("code", {}, configs.keys[k])),
        el("td", {}, configs.values[a[k]]), el("td", {}, configs.values[b[k]])))))));
  };
  const choice = (name, key) => select(name, options, String(chosen[key]), (value) => { chosen[key] = Number(value); draw(); });
  box.append(el("h3", {}, "In what two runs differ"),
    el("p", { class: "quiet" }, `${plural(configs.keys.length, "key")} that can change a result differ over all runs.`),
    el("div", { class: "controls" }, choice("First", "one"), choice("Second", "other")), holder);
  draw();
  return true;
}

function start() {
  const report = lushan.get("report");
  if (!report) {
    document.getElementById("main").prepend(el("p", { class: "note" }, "data/report.js is not beside this page: there is nothing to draw."));
    return;
  }
  document.querySelectorAll("table.sortable").forEach(sortable);
  lookAt(report.groups[0].experiment);
  const has = {
    runs: true,
    curves: report.curves.some((group) => Object.keys(group).length),
    seeds: report.runs.some((run) => run.metrics.length) && report.runs.length > 1,
    classes: report.scores.length > 0,
    probabilities: report.runs.some((run) => run.probabilities),
    examples: report.runs.some((run) => run.files.length),
  };
  const draw = { runs: runsSection, curves: curvesSection, seeds: seedsSection, classes: classesSection, probabilities: probabilitiesSection, examples: examplesSection };
  const reveal = (name) => { document.getElementById(name).hidden = false; };
  for (const [name, fills] of Object.entries(draw)) {
    if (!has[name]) continue;
    reveal(name);
    fills(document.getElementById(`${name}-drawn`));
  }
  if (configsSection(document.getElementById("configs-drawn"))) reveal("configs");
  // A link to what is not there leads nowhere.
  for (const link of document.querySelectorAll("nav a")) {
    const target = document.querySelector(link.getAttribute("href"));
    if (!target || target.hidden) link.parentElement.remove();
  }
  document.documentElement.dataset.drawn = "yes";
}

document.addEventListener("DOMContentLoaded", start);
