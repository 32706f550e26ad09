// `npm run web`: builds the page, gets the guest image, serves both on loopback and says where.
import { parseArgs } from "node:util";
import { addLinux, buildPage, pageFolder } from "./web-build.mjs";
import { serveFolder } from "./web-server.mjs";

const DEFAULT_PORT = 8086;

const { values } = parseArgs({ options: { port: { type: "string", default: String(DEFAULT_PORT) } } });
const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  console.error(`--port must be a whole number up to 65535, not ${values.port}.`);
  process.exit(2);
}

console.log("Building the page");
await buildPage(pageFolder);
const missing = await addLinux(pageFolder, (line) => console.log(line));
if (missing !== undefined) {
  console.log(`${missing}\nSo the page has no Linux: memory with a workload on it takes its place.`);
}
const { url } = await serveFolder(pageFolder, port);
console.log(`\nOpen ${url} in a browser. Ctrl+C ends it.`);
