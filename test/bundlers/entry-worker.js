// Where the worker is an entry of its own, it is made from the file that comes out.
import { run } from "./program.js";

globalThis.outcome = run(() => new Worker(new URL("../worker.js", import.meta.url), { type: "module" }));
