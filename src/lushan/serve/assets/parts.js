import { say } from "./words.js";

// Elements. Texts of users and models become text nodes, and nothing else.
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  say(made);
  return made;
}

function hue(label) {
  let found = 7;
  for (const letter of label) found = (found * 31 + letter.codePointAt(0)) % 360;
  return found;
}

// Offsets count characters as Python does: code points, not UTF-16 units.
export function spans(text, found) {
  const letters = Array.from(text);
  const box = element("div", { className: "marked" });
  let at = 0;
  for (const span of [...found].sort((a, b) => a.start - b.start)) {
    if (span.start < at) continue;
    box.append(letters.slice(at, span.start).join(""));
    const mark = element("mark", { title: percent(span.score) },
      letters.slice(span.start, span.end).join(""), element("small", {}, span.label));
    mark.style.setProperty("--hue", hue(span.label));
    box.append(mark);
    at = span.end;
  }
  box.append(letters.slice(at).join(""));
  return box;
}

function percent(value) {
  return typeof value === "number" ? `${(100 * value).toFixed(1)} %` : "";
}

export function shares(values) {
  const box = element("div", { className: "bars" });
  const most = Object.entries(values).sort((a, b) => b[1] - a[1]).slice(0, 20);
  for (const [label, share] of most) {
    box.append(element("span", {}, label),
      element("meter", { min: 0, max: 1, value: share, "aria-label": label }),
      element("b", {}, percent(share)));
  }
  return box;
}

export function plain(value) {
  return element("p", {}, Array.isArray(value) ? value.join(", ") : String(value));
}

export function number(value) {
  return element("p", {}, Number(value).toPrecision(4));
}

export function details(title, value) {
  return element("details", {}, element("summary", { "data-text": title }),
    element("pre", {}, JSON.stringify(value, null, 1)));
}
