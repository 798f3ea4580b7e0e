// Requests to the server that this page comes from.
let key = "";
try { key = sessionStorage.getItem("key") ?? ""; } catch { /* storage may be blocked */ }

export function setKey(value) {
  key = value;
  try { sessionStorage.setItem("key", value); } catch { /* likewise */ }
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function ask(path, body, signal) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const options = { headers, signal };
  if (body !== undefined) {
    options.method = "POST";
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try {
    const { error } = await response.json();
    message = error.param ? `${error.param}: ${error.message}` : error.message;
  } catch { /* no JSON */ }
  throw new Refused(response.status, message);
}

// The chunks of a stream of server-sent events.
export async function* chunks(path, body, signal) {
  const response = await ask(path, { ...body, stream: true }, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const content = event.replace(/^data: /, "");
      if (content === "[DONE]") return;
      const chunk = JSON.parse(content);
      if (chunk.error) throw new Refused(500, chunk.error.message);
      yield chunk;
    }
  }
}
