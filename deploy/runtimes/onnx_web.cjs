// Runs a graph by onnxruntime-web's wasm for deploy/runtimes/onnx_web.py, one image at a time.
//
// node onnx_web.cjs [GRAPH THREADS PORTS]
// PORTS: JSON, [{name, shape, dtype}, ...], the inputs and last the output; shapes with the batch of 1.
// Writes a line when it is ready, the version of onnxruntime-web. Then, if there is a GRAPH, it reads the inputs' values
// from stdin, in order and raw, and writes the output's to stdout, until stdin ends.

"use strict";
const fs = require("node:fs");

const ARRAYS = { float32: Float32Array, int64: BigInt64Array, uint8: Uint8Array };
const STDIN = 0;

// Fill a typed array from stdin; false at its end. Blocking: there is nothing else to do meanwhile.
function fill(values) {
  const bytes = new Uint8Array(values.buffer);
  for (let start = 0, count; start < bytes.length; start += count) {
    count = fs.readSync(STDIN, bytes, start, bytes.length - start);
    if (count === 0) return false;
  }
  return true;
}

// Resolves when stdout has taken all bytes; writeSync would fail on a pipe that is full.
function write(bytes) {
  return new Promise((resolve) => process.stdout.write(bytes, resolve));
}

async function main([graph, threads, ports]) {
  const ort = require(require.resolve("onnxruntime-web", { paths: [process.cwd()] })); // and by NODE_PATH
  const version = Buffer.from(`${ort.env.versions.web}\n`);
  if (graph === undefined) return write(version);
  if (Number(threads) > 0) ort.env.wasm.numThreads = Number(threads);
  const session = await ort.InferenceSession.create(fs.readFileSync(graph), { executionProviders: ["wasm"] });
  const inputs = JSON.parse(ports);
  const output = inputs.pop();
  await write(version);
  for (;;) {
    const feeds = {};
    for (const { name, shape, dtype } of inputs) {
      const values = new ARRAYS[dtype](shape.reduce((product, size) => product * size, 1));
      if (!fill(values)) process.exit(0);
      feeds[name] = new ort.Tensor(dtype, values, shape);
    }
    const { data } = (await session.run(feeds))[output.name];
    await write(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.code === "MODULE_NOT_FOUND" ? error.code : String(error));
  process.exit(1);
});
