import { loadZstd } from "../../../page/compression/zstd.js";

// To load this takes as long as to load everything else, and is done by other threads in part: it begins first. What goes wrong is told to whoever needs it.
loadZstd().catch(() => {});
await import("./chain-serving.js");
