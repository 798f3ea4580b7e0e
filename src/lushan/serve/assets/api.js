// Requests to the server that this page comes from.
let key = "";
try { key = sessionStorage.getItem("key") ?? ""; } catch { /* storage may be blocked */ }

export function setKey(value) {
  key = value;
  try { sessionStorage.setItem("key", value); } catch { /* likewise */ }
}

export function hasKey() {
  return key !== "";
}

export class Refused extends Error {
  constructor(status, message, { param = null, code = null } = {}) {
    super(param ? `${param}: ${message}` : message);
    Object.assign(this, { status, param, code });
  }
}

async function reached(answer) {
  try {
    return await answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, error.message, { code: "unreachable" });
  }
}

export async function ask(path, body, signal) {
  if (!/^[ -~]*$/.test(key)) throw new Refused(401, "", { code: "invalid_api_key" }); // no header can hold it
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  const options = { headers, signal };
  if (body !== undefined) {
    options.method = "POST";
    headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await reached(fetch(path, options));
  if (response.ok) return response;
  let error = { message: `${response.status} ${response.statusText}` };
  try {
    error = (await response.json()).error;
  } catch { /* no JSON */ }
  throw new Refused(response.status, error.message, error);
}

// The chunks of a stream of server-sent events.
export async function* chunks(path, body, signal) {
  const response = await ask(path, { ...body, stream: true }, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reached(reader.read());
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const content = event.replace(/^data: /, "");
      if (content === "[DONE]") return;
      const chunk = JSON.parse(content);
      if (chunk.error) throw new Refused(500, chunk.error.message, chunk.error);
      yield chunk;
    }
  }
}
