// A box for each field that a run reads, and its prediction drawn as the run's task says.
import { ask } from "./api.js";
import { details, element, number, plain, shares, spans } from "./parts.js";
import { asUrl } from "./writing.js";
import { failed, word } from "./words.js";

function kindOf(schema) {
  const kinds = [schema, ...(schema.anyOf ?? [])];
  if (kinds.some((kind) => kind.pattern?.includes("data:image"))) return "image";
  return kinds.some((kind) => kind.type === "string") ? "text" : "json";
}

export function predicting(model, report) {
  const inputs = Object.entries(model.lushan.inputs);
  const texts = inputs.filter(([, schema]) => kindOf(schema) !== "json");
  const fields = texts.length ? texts : inputs;
  const boxes = new Map();
  const form = element("form", { className: "box", id: "form" });
  const result = element("div", { className: "result", id: "result" });
  for (const [name, schema] of fields) {
    const kind = kindOf(schema);
    const box = kind === "image"
      ? element("input", { type: "file", accept: "image/*", id: `field-${name}` })
      : element("textarea", { id: `field-${name}`, rows: 3 });
    boxes.set(name, { box, kind, optional: "default" in schema });
    form.append(element("label", { className: "field" }, element("span", {}, name), box));
  }
  const send = element("button", { id: "send", "data-text": "predict" });
  form.append(element("div", { className: "row" }, element("span", { className: "end" }, send)));

  // The fields that are sent: a required text may be empty beside others.
  async function example() {
    const found = {};
    if ([...boxes.values()].every(({ box }) => !box.value)) return found;
    for (const [name, { box, kind, optional }] of boxes) {
      if (kind === "image") {
        if (box.files.length) found[name] = await asUrl(box.files[0]);
      } else if (box.value || (kind === "text" && !optional)) {
        found[name] = kind === "json" ? JSON.parse(box.value) : box.value;
      }
    }
    return found;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    report();
    try {
      const input = await example();
      if (!Object.keys(input).length) {
        report(() => word("empty"));
        return;
      }
      const response = await ask("/predict", { model: model.id, inputs: [input] });
      const [prediction] = (await response.json()).predictions;
      result.replaceChildren(...drawn(model, input, prediction));
    } catch (error) {
      report(() => failed(error));
    } finally {
      send.disabled = false;
    }
  });
  return [form, result];
}

function drawn(model, input, prediction) {
  const found = [];
  for (const value of Object.values(input)) {
    if (value.startsWith?.("data:image")) found.push(element("img", { className: "preview", src: value, "data-alt": "image" }));
  }
  for (const [name, display] of Object.entries(model.lushan.displays)) {
    const value = prediction[name];
    if (value == null) continue;
    const draw = { spans: () => spans(prediction.text, value), shares: () => shares(value), number: () => number(value) };
    const part = (draw[display] ?? (() => plain(value)))();
    found.push(element("div", { className: "entry" }, element("span", {}, name), part));
  }
  found.push(details("json", prediction));
  return found;
}
