// The page of a server: which models there are, what is known of each, and how it is asked.
import { ask, setKey } from "./api.js";
import { element } from "./parts.js";
import { predicting } from "./predicting.js";
import { change, language, word } from "./words.js";
import { writing } from "./writing.js";

const at = (id) => document.getElementById(id);
let models = [];

function report(text) {
  at("problem").textContent = text;
  at("problem").hidden = !text;
}

function about(model) {
  const { task, run_id, metric, data, notes } = model.lushan;
  const measured = metric && `${metric.name} ${metric.text}${metric.interval ? ` (95 %: ${metric.interval})` : ""}`;
  const facts = { task, run: run_id, metric: measured, data };
  const shown = Object.entries(facts).filter(([, value]) => value)
    .map(([name, value]) => element("span", {}, `${word(name)} `, element("b", {}, value)));
  at("about").replaceChildren(...shown, ...notes.map((note) => element("span", {}, note)));
}

function show() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = word(node.dataset.text);
  at("language").textContent = word("other");
  const model = models.find((one) => one.id === at("model").value);
  if (!model) return;
  about(model);
  report("");
  const { endpoints } = model.lushan;
  if (endpoints.some((path) => path.endsWith("/completions"))) at("main").replaceChildren(...writing(model, report));
  else if (endpoints.includes("/predict")) at("main").replaceChildren(...predicting(model, report));
  else if (endpoints.includes("/v1/rerank") && !endpoints.includes("/v1/embeddings")) at("main").replaceChildren(element("p", {}, word("rerank")));
  else at("main").replaceChildren(element("p", {}, word("embeddings")));
}

async function load() {
  try {
    models = (await (await ask("/v1/models")).json()).data;
    at("key").hidden = true;
  } catch (error) {
    at("key").hidden = error.status !== 401;
    report(error.message);
    show();
    document.documentElement.dataset.drawn = "yes";
    return;
  }
  at("model").replaceChildren(...models.map(({ id }) => element("option", { value: id }, id)));
  show();
  document.documentElement.dataset.drawn = "yes";
}

at("model").addEventListener("change", show);
at("language").addEventListener("click", () => { change(); show(); });
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(at("key-value").value);
  load();
});
load();
