// The page of a server: which models there are, what is known of each, and how it is asked.
import { ask, hasKey, setKey } from "./api.js";
import { element } from "./parts.js";
import { predicting } from "./predicting.js";
import { change, failed, language, sayAll, word } from "./words.js";
import { writing } from "./writing.js";

const at = (id) => document.getElementById(id);
let models = [];
let problem = () => "";

const chosen = () => models.find((one) => one.id === at("model").value);

// Show a problem: `said` returns it in the language of the page.
function report(said = () => "") {
  problem = said;
  showProblem();
}

function showProblem() {
  const text = problem();
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

// Say everything in the language of the page; what was written and answered stays.
function speak() {
  document.documentElement.lang = language;
  sayAll();
  if (chosen()) about(chosen());
  showProblem();
}

function show() {
  const model = chosen();
  if (!model) return;
  about(model);
  report();
  const { endpoints } = model.lushan;
  if (endpoints.some((path) => path.endsWith("/completions"))) at("main").replaceChildren(...writing(model, report));
  else if (endpoints.includes("/predict")) at("main").replaceChildren(...predicting(model, report));
  else if (endpoints.includes("/v1/rerank") && !endpoints.includes("/v1/embeddings")) at("main").replaceChildren(element("p", { "data-text": "rerank" }));
  else at("main").replaceChildren(element("p", { "data-text": "embeddings" }));
}

async function load() {
  try {
    models = (await (await ask("/v1/models")).json()).data;
    at("key").hidden = true;
    at("choice").hidden = false;
  } catch (error) {
    at("key").hidden = error.status !== 401;
    // Who has given no key yet has made no mistake: the form asks for it.
    if (error.status !== 401 || hasKey()) report(() => failed(error));
    document.documentElement.dataset.drawn = "yes";
    return;
  }
  at("model").replaceChildren(...models.map(({ id }) => element("option", { value: id }, id)));
  show();
  document.documentElement.dataset.drawn = "yes";
}

at("model").addEventListener("change", show);
at("language").addEventListener("click", () => { change(); speak(); });
at("key").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(at("key-value").value);
  load();
});
speak();
load();
