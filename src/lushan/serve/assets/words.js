// What the page says, in two languages. Each text is one entry.
const WORDS = {
  en: {
    model: "Model", run: "run", metric: "metric", data: "data", task: "task", other: "中文",
    key: "Key of this server", use: "Use", send: "Send", stop: "Stop", again: "Regenerate", clear: "Start over",
    message: "Message", continue: "Text to continue", write: "Continue", predict: "Predict", image: "Image",
    temperature: "temperature", tokens: "tokens", stopped: "stopped", json: "Details", none: "nothing was found",
    embeddings: "This model gives vectors of texts: POST /v1/embeddings, and /v1/rerank.",
    rerank: "This model orders documents by a query: POST /v1/rerank.",
    score: "score", long: "cut off: the most tokens are reached",
    source: "source", template: "template", handed: "handed over to a person", passed: "not a question for the knowledge base",
    locked: "This server asks for a key.", wrong: "This key is wrong.", unreachable: "The server cannot be reached.",
    large: "The request is too large.", busy: "The server is busy: try again soon.", ending: "The server is ending.",
    late: "The server did not answer in time.", missing: "this field is missing", empty: "All fields are empty.",
  },
  zh: {
    model: "模型", run: "运行", metric: "指标", data: "数据", task: "任务", other: "English",
    key: "本服务器的密钥", use: "使用", send: "发送", stop: "停止", again: "重新生成", clear: "重新开始",
    message: "消息", continue: "待续写的文本", write: "续写", predict: "预测", image: "图像",
    temperature: "温度", tokens: "词元", stopped: "已停止", json: "详情", none: "没有结果",
    embeddings: "此模型给出文本向量：POST /v1/embeddings 与 /v1/rerank。",
    rerank: "此模型按查询对文档排序：POST /v1/rerank。",
    score: "得分", long: "已截断：达到词元上限",
    source: "来源", template: "模板", handed: "已转人工", passed: "不是知识库的问题",
    locked: "本服务器需要密钥。", wrong: "密钥错误。", unreachable: "无法连接服务器。",
    large: "请求过大。", busy: "服务器繁忙，请稍后再试。", ending: "服务器正在关闭。",
    late: "服务器未能及时答复。", missing: "缺少此字段", empty: "所有字段均为空。",
  },
};

function chosen() {
  try {
    const kept = localStorage.getItem("language");
    if (kept in WORDS) return kept;
  } catch { /* storage may be blocked */ }
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export let language = chosen();

export function word(name) {
  return WORDS[language][name] ?? name;
}

// What is said of a node: its text and attributes, by the names of words in `data-text` and others,
// so that a change of language leaves what stands in the page.
const SAID = { text: "", placeholder: "placeholder", label: "aria-label", alt: "alt", title: "title" };

export function say(node) {
  for (const [kind, attribute] of Object.entries(SAID)) {
    const name = node.dataset[kind];
    if (name === undefined) continue;
    if (attribute) node.setAttribute(attribute, word(name));
    else node.textContent = word(name);
  }
}

export function sayAll() {
  const selector = Object.keys(SAID).map((kind) => `[data-${kind}]`).join(", ");
  document.querySelectorAll(selector).forEach(say);
}

// What is shown of a request that failed: in the language of the page, where it knows the mistake.
const BY_CODE = {
  invalid_api_key: "wrong", too_large: "large", queue_full: "busy", too_many_connections: "busy",
  draining: "ending", timeout: "late", unreachable: "unreachable",
};

export function failed(error) {
  if (error.name === "AbortError") return word("stopped");
  if (error.code in BY_CODE) return word(BY_CODE[error.code]);
  if (error.code === "missing" && error.param) return `${error.param}: ${word("missing")}`;
  return error.message;
}

export function change() {
  language = language === "en" ? "zh" : "en";
  try { localStorage.setItem("language", language); } catch { /* likewise */ }
}
