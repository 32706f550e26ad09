#!/usr/bin/env bash
# Packs the package, installs the tarball in an empty folder as a user would, imports every export and runs the command.
set -euo pipefail
cd "$(dirname "$0")/.."

npx publint --strict
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
npm pack --silent --ignore-scripts --pack-destination "$folder"
npx attw "$folder"/pageferry-*.tgz

cd "$folder"
echo '{ "private": true, "type": "module" }' > package.json
npm install --silent --no-audit --no-fund ./pageferry-*.tgz
cat > test.js <<'JS'
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import * as pageferry from "pageferry";
import { connectTcp, listenTcp } from "pageferry/node";
import { QemuGuest, QemuHost } from "pageferry/qemu";
const require = createRequire(import.meta.url);
const manifest = require("pageferry/package.json");
for (const name of Object.keys(manifest.exports)) require.resolve(`pageferry${name.slice(1)}`);
const bytes = readFileSync(require.resolve("pageferry/kernels.wasm"));
for (const options of [{}, { source: bytes }]) {
  const { arena, scan } = await pageferry.createKernels(options);
  const pages = arena.allocatePages(2, 4096);
  pages.bytes.fill(0).fill(1, 4096);
  if (scan.zero(pages, 4096, arena.allocateBitmap(2)) !== 1) throw new Error("the kernels do not work");
}
const host = new pageferry.MemoryHost();
const destination = new pageferry.Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 1 << 20 });
const listener = await listenTcp({ host: "127.0.0.1", port: 0 }, (connection) => destination.receive(connection));
const guest = new pageferry.MemoryGuest({ memoryBytes: 1 << 20 });
const { outcome } = await pageferry.migrate(guest, await connectTcp({ host: "127.0.0.1", port: listener.port })).report;
host.content.stop();
await listener.close();
if (outcome !== "completed" || host.content.wrongPages().length > 0) throw new Error("the migration does not work");
if (typeof QemuGuest.open !== "function" || typeof QemuHost !== "function") throw new Error("QEMU is missing");
JS
node test.js
npx --no-install pageferry --version
npx --no-install pageferry inspect test.js
