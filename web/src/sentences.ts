import type { Where } from "./settings.js";

/** What becomes of the machine when something fails. */
export type Fate = "goes-on" | "runs-on" | "in-doubt" | "crashed" | "stays-there" | "nothing";

const FATES: Readonly<Record<Fate, string>> = {
  "goes-on": "Nothing is lost: the machine goes on where it was.",
  "runs-on": "The machine here runs on as before.",
  "in-doubt": "It stands still here, since it may run over there. Let it go on only if it does not.",
  crashed: "It cannot go on. Start a new one, or restore a snapshot.",
  "stays-there": "The machine stays where it is.",
  nothing: "",
};

/** Sentences for the codes of errors whose own message is for those who know the engine; all others speak for themselves. */
const SENTENCES: Readonly<Record<string, string>> = {
  cancelled: "The move was cancelled.",
  closed: "The other side has closed the connection.",
  timeout: "The other side has not answered for a long time.",
  "content-differs": "What arrived was not what had been sent, so the other side threw it away.",
  "no-common-version": "The other side has another version of pageferry, which cannot take this machine.",
  "memory-limit": "There is no room for a machine of this size where it was to go.",
  refused: "The other side does not take this machine.",
  "machine-unfit": "The machine does not fit here: its size, or the version of its emulator, is another one.",
  "not-converging": "The machine changes its memory faster than the link carries it, so the move would never end.",
  "guest-failed": "The machine has crashed.",
  "host-failed": "The machine could not be taken in.",
  "peer-failed": "The other side has failed.",
  protocol: "What the other side says cannot be understood; it may be another program.",
  "in-doubt": "The machine was handed over, but the other side does not say whether it runs there.",
  "simd-missing":
    "This browser has no WebAssembly SIMD, which moving memory needs. A current Chrome, Edge, Firefox or Safari has it.",
  "worker-failed": "The worker that runs the machine has failed. Loading the page again may help.",
  "state-malformed": "The machine's state is damaged.",
};

/** Of these the error's own message tells more than a sentence for all of them could. */
const TELLS_MORE: ReadonlySet<string> = new Set([
  "refused",
  "peer-failed",
  "host-failed",
  "machine-unfit",
  "memory-limit",
  "not-converging",
]);

/** How a lost connection shows, by what is at its other end. */
const LOST: Readonly<Record<Where, string>> = {
  here: "The link was cut.",
  tab: "The other tab was closed, or the link to it was cut.",
  computer: "The other computer has gone, or the link to it was cut.",
  node: "Node has gone, or the link to it was cut.",
};

/** What went wrong, and what becomes of the machine, for a person. `where` is where the other side is. */
export function sentenceOf(error: unknown, fate: Fate, where: Where = "here"): string {
  const code = codeOf(error) ?? "";
  const own = messageOf(error);
  const known = code === "connection-lost" ? LOST[where] : SENTENCES[code];
  const what = known === undefined ? own : TELLS_MORE.has(code) ? joined(known, own) : known;
  return [what, FATES[fate]].filter((part) => part !== "").join(" ");
}

/** The stable code of an error, where it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === "string" ? code : undefined;
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message === "" ? "Something failed, and does not say what." : ended(message);
}

/** Both, unless they say the same. */
function joined(known: string, own: string): string {
  return own.startsWith(known.slice(0, -1)) ? own : `${known} (${own.replace(/\.$/, "")})`;
}

function ended(message: string): string {
  return /[.!?]$/.test(message) ? message : `${message}.`;
}
