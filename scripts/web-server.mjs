// Serves the built page on loopback: only files that were there when it started, so that no path leads out of the folder.
import { createReadStream, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, relative, sep } from "node:path";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".image": "application/octet-stream",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".md": "text/plain; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

// v86 compiles what it translates (wasm-unsafe-eval) and keeps time in a worker from a blob; xterm.js styles itself; machines may move to
// any address that the person gives (ws).
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self' blob:",
  "connect-src 'self' ws: wss:",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

/** Serves a folder on 127.0.0.1, at `port` or the next one that is free within a hundred. Resolves with the server and its address. */
export async function serveFolder(folder, port) {
  const files = new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [`/${relative(folder, path).split(sep).join("/")}`, path]),
  );
  const server = createServer((request, response) => answer(files, request, response));
  const free = await listen(server, port, port === 0 ? 0 : port + 100);
  return { server, url: `http://127.0.0.1:${free}/` };
}

function answer(files, request, response) {
  if (request.method !== "GET" && request.method !== "HEAD")
    return void response.writeHead(405, { allow: "GET, HEAD" }).end();
  const path = (request.url ?? "/").replace(/[?#].*$/s, "");
  const file = files.get(path === "/" ? "/index.html" : path);
  if (file === undefined)
    return void response.writeHead(404, { "content-type": "text/plain" }).end("There is no such file.\n");
  response.writeHead(200, {
    "content-type": TYPES[extname(file)] ?? "application/octet-stream",
    "content-length": statSync(file).size,
    // Vite puts a digest into the names of assets.
    "cache-control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache",
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
  });
  if (request.method === "HEAD") return void response.end();
  createReadStream(file)
    .on("error", () => response.destroy())
    .pipe(response);
}

async function listen(server, port, last) {
  try {
    await new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => {
        server.off("error", reject);
        resolve(undefined);
      });
    });
    return server.address().port;
  } catch (error) {
    if (error.code !== "EADDRINUSE" || port >= last) throw error;
    return await listen(server, port + 1, last);
  }
}
