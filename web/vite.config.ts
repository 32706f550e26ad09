import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { defineConfig, type UserConfig } from "vite";

const manifest = createRequire(import.meta.url).resolve("v86/package.json");
const { version } = JSON.parse(readFileSync(manifest, "utf8"));

const config: UserConfig = defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  // The page may stand in any folder of a web server.
  base: "./",
  publicDir: false,
  define: { V86_VERSION: JSON.stringify(version) },
  // So that zstd stays a file of its own, which is loaded when it is used.
  worker: { format: "es" },
  build: {
    emptyOutDir: true,
    target: "es2022",
    // Those that know light-dark(), which the style sheet is written with.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
export default config;
