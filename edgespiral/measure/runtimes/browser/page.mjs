// Does what browser_agent.py asks for: one command at a time, each answered before the next.
// Times are taken here, by performance.now(), and nothing is sent while one is taken.
const backend = new URLSearchParams(location.search).get("backend");
const ort = await import(`./ort/ort.${backend}.min.mjs`);

const CLOCK_CHANGES = 20;
// Since the page was asked for: the runtime's script has been fetched and read by now.
const readyMs = performance.now();

let tickMs = 0;
const models = new Map();
// A profile is printed, since there is no file that it could be written to; the runtime takes
// these as it starts.
const printed = [];
for (const name of ["log", "error", "warn", "info"]) {
  console[name] = (...words) => printed.push(words.join(" "));
}
let wasHidden = document.visibilityState !== "visible";
document.addEventListener("visibilitychange", () => (wasHidden = true));
// Never ends by itself: the agent sees by its end that this page is no more.
(async () => {
  const signs = (await fetch("alive")).body.getReader();
  while (!(await signs.read()).done);
})().catch(() => {});

function clockTickMs() {
  const steps = [];
  let last = performance.now();
  while (steps.length < CLOCK_CHANGES) {
    const now = performance.now();
    if (now > last) steps.push(now - last);
    last = now;
  }
  return Math.min(...steps);
}

async function facts({ threads }) {
  tickMs = clockTickMs();
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL("./ort/", location.href).href;
  ort.env.logLevel = "fatal";
  return {
    isolated: globalThis.crossOriginIsolated === true,
    tick_ms: tickMs,
    version: ort.env.versions.web,
    ready_ms: readyMs,
    adapter: backend === "webgpu" ? await adapter() : null,
  };
}

// Of the GPU, or of what stands in for one; null where there is none.
async function adapter() {
  const info = (await navigator.gpu?.requestAdapter())?.info;
  return info ? { name: [info.vendor, info.architecture, info.description].filter(Boolean).join(" "), is_software: info.isFallbackAdapter === true } : null;
}

async function read(name) {
  const reply = await fetch(name.split("/").map(encodeURIComponent).join("/"));
  if (!reply.ok) throw new Error(`${name} cannot be fetched: ${reply.status}`);
  return new Uint8Array(await reply.arrayBuffer());
}

async function open({ index, model, beside, profiled, shared }) {
  const start = performance.now();
  const bytes = await read(model);
  const externalData = [];
  for (const [path, name] of Object.entries(beside)) {
    externalData.push({ path, data: await read(name) });
  }
  const fetched = performance.now();
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: [backend],
    enableProfiling: profiled,
    // Else what a GPU lacks is computed by the processor without a word.
    extra: { session: { disable_cpu_ep_fallback: backend === "wasm" || shared ? "0" : "1" } },
    externalData,
  });
  const end = performance.now();
  models.set(index, { session, feeds: {} });
  return { fetch_ms: fetched - start, load_ms: Math.max(end - fetched, tickMs), inputs: session.inputMetadata, outputs: session.outputNames };
}

async function feed({ index, tensors }) {
  const { session, feeds } = models.get(index);
  for (const name of session.inputNames) feeds[name] = tensorOf(tensors[name]);
  return {};
}

async function once({ index }) {
  const { session, feeds } = models.get(index);
  const start = performance.now();
  const results = await session.run(feeds);
  const run_ms = performance.now() - start;
  return { run_ms, outputs: session.outputNames.map((name) => bytesOf(results[name])) };
}

// Each sample is the mean of `batch` inferences.
async function take({ index, count, batch }) {
  const { session, feeds } = models.get(index);
  const samples_ms = [];
  for (let sample = 0; sample < count; sample++) {
    const start = performance.now();
    for (let run = 0; run < batch; run++) await session.run(feeds);
    samples_ms.push((performance.now() - start) / batch);
  }
  return { samples_ms };
}

async function close({ index }) {
  await models.get(index).session.release();
  models.delete(index);
  return {};
}

async function profile({ index }) {
  printed.length = 0;
  models.get(index).session.endProfiling();
  return { text: printed.join("\n") };
}

function tensorOf({ type, dims, base64 }) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const kinds = {
    float32: Float32Array, float64: Float64Array, float16: globalThis.Float16Array ?? Uint16Array,
    int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array,
    uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
  };
  return new ort.Tensor(type, new kinds[type](bytes.buffer), dims);
}

function bytesOf({ type, dims, data }) {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  let letters = "";
  for (let at = 0; at < bytes.length; at += 32768) {
    letters += String.fromCharCode(...bytes.subarray(at, at + 32768));
  }
  return { type, dims, base64: btoa(letters) };
}

const commands = { facts, open, feed, once, take, close, profile };

async function answer(command) {
  try {
    return await commands[command.name](command);
  } catch (error) {
    return { error: String(error?.message ?? error) };
  }
}

for (let said = null; ; ) {
  const body = JSON.stringify(said && { ...said, was_hidden: wasHidden });
  const reply = await fetch("next", { method: "POST", body });
  said = await answer(await reply.json());
}
