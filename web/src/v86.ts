import type { V86Location } from "pageferry";
import scriptUrl from "v86/build/libv86.mjs?url";
import wasmUrl from "v86/build/v86.wasm?url";

/** The emulator as the build has put it beside the page; workers load it when they run a machine. */
export const v86Location: V86Location = { version: V86_VERSION, scriptUrl, wasmUrl };
