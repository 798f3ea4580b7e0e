"use strict";
/* What all parts share: data that files hand over, elements, numbers, colours. */

const lushan = (() => {
  const waiting = new Map();
  const loaded = new Map();
  const KEPT = 6; // data files held in memory beside the report's own

  /** Take what a data file holds. */
  function put(name, content) {
    loaded.set(name, content);
    const waiter = waiting.get(name);
    waiting.delete(name);
    if (waiter) waiter.done(content);
  }

  /** The content of a data file, loaded when it is first opened. */
  function load(name) {
    if (loaded.has(name)) {
      const content = loaded.get(name);
      loaded.delete(name);
      loaded.set(name, content); // the last one used goes last
      return Promise.resolve(content);
    }
    if (waiting.has(name)) return waiting.get(name).promise;
    const entry = {};
    entry.promise = new Promise((done, fail) => Object.assign(entry, { done, fail }));
    waiting.set(name, entry);
    const script = document.createElement("script");
    script.src = `data/${name}.js`;
    script.onerror = () => {
      waiting.delete(name);
      entry.fail(new Error(`data/${name}.js is not beside the page`));
    };
    script.onload = () => script.remove();
    document.head.append(script);
    return entry.promise.then((content) => {
      const others = [...loaded.keys()].filter((key) => key !== "report");
      for (const key of others.slice(0, Math.max(0, others.length - KEPT))) loaded.delete(key);
      return content;
    });
  }

  const get = (name) => loaded.get(name);
  return { put, load, get };
})();

/** An element: `el("td", {class: "number"}, "text", child)`. Text stays text. */
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** A choice with a label: calls `chosen` with the value. Options are texts or [value, text]. */
function select(label, options, value, chosen) {
  const box = el("select", { onchange: () => chosen(box.value) });
  for (const option of options) {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    box.append(el("option", { value: key }, text));
  }
  box.value = value;
  return el("label", { class: "field" }, el("span", {}, label), box);
}

function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

/** A metric as tables write it, on the scale that lushan.common.units has for it. */
function written(value, metric) {
  if (value === null || value === undefined) return "–";
  const how = lushan.get("report").metrics[metric] || { scale: 1, digits: 4 };
  return plain(value * how.scale, how.digits);
}

function plain(value, digits = 4) {
  if (value !== 0 && Math.abs(value) < 0.5 * 10 ** -digits) return value.toExponential(1);
  return value.toFixed(digits).replace("-", "−");
}

/** The name of a metric with its unit. */
function named(metric) {
  return lushan.get("report").metrics[metric]?.head ?? metric;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 100) return `${seconds.toFixed(0)} s`;
  return seconds < 6000 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/* Groups of runs: a colour and a mark each, the same in all figures. */

const COLOURS = 8;
const MOST = 8; // groups that figures show at first: more are hard to distinguish

const state = { experiment: null, shown: new Set(), listeners: [] };

/** Call something now and whenever other groups are to be shown. */
function watch(draw) {
  state.listeners.push(draw);
  draw();
}

function changed() {
  for (const draw of state.listeners) draw();
}

/** Places of the groups of the experiment that is shown. */
function groupsHere() {
  const { groups } = lushan.get("report");
  return [...groups.keys()].filter((g) => groups[g].experiment === state.experiment);
}

/** Show an experiment: its first groups are shown. */
function lookAt(experiment) {
  state.experiment = experiment;
  state.shown = new Set(groupsHere().slice(0, MOST));
}

function colourOf(group) {
  return groupsHere().indexOf(group) % COLOURS;
}

/** A mark around the origin: each colour has a shape of its own, so that colour alone says nothing. */
function mark(shape, size = 4) {
  const s = size * 1.15;
  const paths = [
    `M${size} 0A${size} ${size} 0 1 1 ${-size} 0A${size} ${size} 0 1 1 ${size} 0Z`,
    `M${-size} ${-size}H${size}V${size}H${-size}Z`,
    `M0 ${-s}L${s} ${s * 0.8}H${-s}Z`,
    `M0 ${-s * 1.2}L${s * 1.2} 0L0 ${s * 1.2}L${-s * 1.2} 0Z`,
    `M0 ${s}L${-s} ${-s * 0.8}H${s}Z`,
    `M${-s} ${-s * 0.4}H${-s * 0.4}V${-s}H${s * 0.4}V${-s * 0.4}H${s}V${s * 0.4}H${s * 0.4}V${s}H${-s * 0.4}V${s * 0.4}H${-s}Z`,
    `M${-s} 0L0 ${-s * 0.7}L${s} 0L0 ${s * 0.7}Z`,
    `M${-s * 0.6} ${-s}H${s * 0.6}L${s} 0L${s * 0.6} ${s}H${-s * 0.6}L${-s} 0Z`,
  ];
  return paths[shape % paths.length];
}

/** Buttons for the groups: which are shown, and in what colour. */
function legend() {
  const { groups } = lushan.get("report");
  const here = groupsHere();
  if (here.length < 2) return el("div");
  const buttons = here.map((g) => {
    const on = state.shown.has(g);
    const c = colourOf(g);
    const icon = svg("svg", { viewBox: "-7 -7 14 14", width: 14, height: 14, "aria-hidden": "true" },
      svg("path", { d: mark(c, 4.4), class: `fill c${c}` }));
    return el("button", {
      type: "button", class: "chip", "aria-pressed": String(on),
      onclick: () => { if (on) state.shown.delete(g); else state.shown.add(g); changed(); },
    }, icon, groups[g].label);
  });
  const box = el("div", { class: "legend", role: "group", "aria-label": "Groups that are drawn" }, buttons);
  if (here.length > MOST) {
    const all = state.shown.size === here.length;
    box.append(
      el("span", { class: "quiet" }, `${state.shown.size} of ${here.length} groups drawn`),
      el("button", {
        type: "button", class: "plain",
        onclick: () => { state.shown = new Set(all ? here.slice(0, MOST) : here); changed(); },
      }, all ? `the first ${MOST}` : "all"),
    );
  }
  return box;
}
