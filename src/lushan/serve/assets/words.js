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

export function change() {
  language = language === "en" ? "zh" : "en";
  try { localStorage.setItem("language", language); } catch { /* likewise */ }
}
