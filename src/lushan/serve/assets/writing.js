// A chat, or a text that is continued: streamed, stopped, written again.
import { chunks } from "./api.js";
import { element } from "./parts.js";
import { failed, say } from "./words.js";

const CHAT = "/v1/chat/completions", COMPLETIONS = "/v1/completions";

function sourced({ action, source, entity }) {
  const named = [source.join(", "), entity].filter(Boolean).join("; ");
  const name = { answer: "source", template: "template", refuse: "handed", pass: "passed" }[action];
  const rest = action in { answer: 1, template: 1 } ? `: ${named}` : null;
  return element("small", { className: `source ${action}` }, element("span", { "data-text": name }), rest);
}

export function writing(model, report) {
  const chats = model.lushan.endpoints.includes(CHAT);
  const { assists } = model.lushan; // it draws nothing, and its answers name their sources
  const log = element("div", { className: "log", id: "log" });
  const text = element("textarea", { id: "text", rows: 2 });
  text.dataset.placeholder = text.dataset.label = chats ? "message" : "continue";
  say(text);
  const file = element("input", { type: "file", id: "image", accept: "image/*", hidden: !model.lushan.sees_images });
  const temperature = element("input", { type: "number", id: "temperature", min: 0, max: 2, step: 0.1, value: 0.8 });
  const most = element("input", { type: "number", id: "tokens", min: 1, max: 4096, value: 128 });
  const send = element("button", { type: "button", id: "send", "data-text": chats ? "send" : "write" });
  const stop = element("button", { type: "button", id: "stop", disabled: true, "data-text": "stop" });
  const again = element("button", { type: "button", id: "again", className: "plain", disabled: true, hidden: assists, "data-text": "again" });
  const clear = element("button", { type: "button", id: "clear", className: "plain", "data-text": "clear" });
  let messages = [];
  let running = null;

  function turn(role, content, image) {
    const box = element("div", { className: `turn ${role}` });
    if (image) box.append(element("img", { src: image, "data-alt": "image" }));
    const node = document.createTextNode(content);
    box.append(node);
    log.append(box);
    return { box, node };
  }

  function busy(on) {
    send.disabled = on;
    stop.disabled = !on;
    again.disabled = on || !messages.length;
    document.documentElement.dataset.busy = on ? "yes" : "no";
  }

  async function answer() {
    const shown = turn("assistant", "");
    shown.box.classList.add("busy");
    running = new AbortController();
    busy(true);
    report();
    const limits = { model: model.id };
    if (!assists) Object.assign(limits, { temperature: Number(temperature.value), max_tokens: Number(most.value) });
    const asked = chats ? { messages } : { prompt: messages.at(-1).content };
    let content = "", finish = null;
    try {
      for await (const chunk of chunks(chats ? CHAT : COMPLETIONS, { ...limits, ...asked }, running.signal)) {
        for (const choice of chunk.choices) {
          const piece = chats ? choice.delta.content ?? "" : choice.text;
          content += piece;
          shown.node.appendData(piece);
          if (piece) window.scrollTo(0, document.body.scrollHeight);
          finish = choice.finish_reason ?? finish;
        }
        if (chunk.assist) shown.box.append(sourced(chunk.assist));
        if (chunk.notes?.length) report(() => chunk.notes.join("; "));
      }
      if (finish === "length") {
        shown.box.dataset.title = "long";
        say(shown.box);
      }
    } catch (error) {
      report(() => failed(error));
    }
    shown.box.classList.remove("busy");
    if (content) messages.push({ role: "assistant", content });
    else if (shown.box.childElementCount === 0) shown.box.remove();
    running = null;
    busy(false);
    text.focus();
  }

  async function submit() {
    const content = text.value;
    if ((!content.trim() && !file.files.length) || running) return;
    const image = file.files.length ? await asUrl(file.files[0]) : null;
    turn("user", content, image);
    const parts = [{ type: "image_url", image_url: { url: image } }, { type: "text", text: content }];
    messages.push({ role: "user", content: image ? parts : content });
    text.value = file.value = "";
    await answer();
  }

  send.addEventListener("click", submit);
  text.addEventListener("keydown", (event) => {
    // Not while an input method composes: its Enter chooses a character.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  });
  stop.addEventListener("click", () => running?.abort());
  again.addEventListener("click", () => {
    if (messages.at(-1)?.role === "assistant") {
      messages.pop();
      log.lastElementChild.remove();
    }
    if (messages.length) answer();
  });
  clear.addEventListener("click", () => {
    running?.abort();
    messages = [];
    log.replaceChildren();
    again.disabled = true;
  });

  const labelled = (name, input) => element("label", {}, element("span", { "data-text": name }), " ", input);
  return [log, element("div", { className: "box" }, text, element("div", { className: "row" },
    ...(assists ? [] : [labelled("temperature", temperature), labelled("tokens", most)]), file,
    element("span", { className: "row end" }, clear, again, stop, send)))];
}

export function asUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}
