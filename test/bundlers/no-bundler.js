// Without a bundler, as the page's own script under an import map.
import { run } from "./program.js";

globalThis.outcome = run(() => new Worker(import.meta.resolve("pageferry/worker"), { type: "module" }));
