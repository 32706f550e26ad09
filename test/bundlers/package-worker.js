// Vite and webpack find the worker's file by the package's name, and take it along.
import { run } from "./program.js";

globalThis.outcome = run(() => new Worker(new URL("pageferry/worker", import.meta.url), { type: "module" }));
