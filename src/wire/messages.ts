import * as v from "valibot";
import { BATCH_HEADER_BYTES, BATCH_MAX_INDEX_BYTES, BATCH_MAX_RESIDUAL_BYTES } from "./batch.js";
import { CONFIRMATION_BYTES } from "./confirmation.js";
import { WireError } from "./errors.js";
import { PAGE_RUNS_MAX_BYTES } from "./page-runs.js";

/** The version of the protocol that this library speaks. */
export const PROTOCOL_VERSION = 1;

/** The types of frames. docs/protocol.md says who sends which, and when. */
export const FrameType: {
  readonly hello: 1;
  readonly announce: 2;
  readonly accept: 3;
  readonly base: 4;
  readonly batch: 5;
  readonly roundEnd: 6;
  readonly roundDone: 7;
  readonly verify: 8;
  readonly ready: 9;
  readonly commit: 10;
  readonly running: 11;
  readonly fail: 12;
  readonly ask: 13;
  readonly outcome: 14;
  readonly received: 15;
  readonly switchOver: 16;
  readonly wanted: 17;
  readonly clean: 18;
  readonly allSent: 19;
  readonly allHere: 20;
  readonly probe: 21;
  readonly probed: 22;
  readonly alive: 128;
} = Object.freeze({
  hello: 1,
  announce: 2,
  accept: 3,
  base: 4,
  batch: 5,
  roundEnd: 6,
  roundDone: 7,
  verify: 8,
  ready: 9,
  commit: 10,
  running: 11,
  fail: 12,
  ask: 13,
  outcome: 14,
  received: 15,
  switchOver: 16,
  wanted: 17,
  clean: 18,
  allSent: 19,
  allHere: 20,
  probe: 21,
  probed: 22,
  alive: 128,
});
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

const MESSAGE_MAX_BYTES = 64 << 10;
/** A frame whose bytes mean nothing: it measures the link. */
export const PROBE_MAX_BYTES: number = 64 << 10;
/** A frame of fingerprints: 16 bytes a page, in the order of the pages. */
export const BASE_MAX_BYTES: number = 1 << 20;

/** The most bytes that the body of each type may have. */
export const FRAME_MAX_BYTES: ReadonlyMap<number, number> = new Map<number, number>([
  ...Object.values(FrameType).map((type) => [type, MESSAGE_MAX_BYTES] as const),
  [FrameType.base, BASE_MAX_BYTES],
  [FrameType.batch, BATCH_HEADER_BYTES + BATCH_MAX_RESIDUAL_BYTES + BATCH_MAX_INDEX_BYTES],
  [FrameType.received, CONFIRMATION_BYTES],
  [FrameType.wanted, PAGE_RUNS_MAX_BYTES],
  [FrameType.clean, PAGE_RUNS_MAX_BYTES],
  [FrameType.probe, PROBE_MAX_BYTES],
  [FrameType.alive, 0],
]);

/** The JSON messages by the names of their types: the body of each is one object, in UTF-8. */
export interface Messages {
  /** Both ends, first of all: versions from and to, and names of what else is understood. */
  readonly hello: {
    readonly protocol: "pageferry";
    readonly versions: readonly [number, number];
    readonly features: readonly string[];
  };
  /** Source: the machine that would like to come. */
  readonly announce: {
    /** 32 random bytes, in hex: the name of the session, and the right to ask for it. */
    readonly session: string;
    readonly machine: {
      readonly name: string;
      readonly kind: string;
      readonly pageBytes: number;
      readonly regions: readonly { readonly name: string; readonly byteLength: number }[];
      readonly configuration: Readonly<Record<string, string | number | boolean>>;
    };
    /** The state's pages come after those of the memory. */
    readonly stateMaxBytes: number;
    /** The seed of the fingerprints, as 64-bit hex. */
    readonly fingerprintSeed: string;
    readonly compression: "none" | "lz4" | "zstd" | "auto";
  };
  /** Destination: there is room; fingerprints of what the memory holds follow, or it is all zero. Whether the machine may run before its memory is there. */
  readonly accept: { readonly hasBase: boolean; readonly isLazy: boolean };
  readonly roundEnd: { readonly round: number };
  readonly roundDone: { readonly round: number };
  /** Source: everything has been sent; this is what it must come to. */
  readonly verify: { readonly digest: string; readonly stateBytes: number };
  /** Source: the state has been sent, and the machine's memory follows once it runs. */
  readonly switchOver: { readonly stateDigest: string; readonly stateBytes: number };
  /** Source: every page has been sent or called clean; this is what they and the state must come to. */
  readonly allSent: { readonly digest: string };
  /** Destination: every page is here; the source may go. */
  readonly allHere: Record<never, never>;
  /** Destination: a probe has come. */
  readonly probed: Record<never, never>;
  readonly ready: Record<never, never>;
  readonly commit: Record<never, never>;
  readonly running: Record<never, never>;
  /** Either: it is over, and why. */
  readonly fail: { readonly code: string; readonly message: string };
  /** Source, on a new connection: what became of a session? */
  readonly ask: { readonly session: string };
  readonly outcome: { readonly outcome: "running" | "following" | "lost" | "discarded" | "unknown" };
}

/** How much of the path to a fault is told. */
const MAX_PATH_LENGTH = 100;
const MAX_NUMBER = Number.MAX_SAFE_INTEGER;
/** A whole number from 0 to `maximum`. */
export const whole = (maximum: number): v.GenericSchema<number> =>
  v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(maximum));
/** A text of at most so many characters. */
export const text = (maximum: number): v.GenericSchema<string> => v.pipe(v.string(), v.maxLength(maximum));
/** So many bytes in lower-case hex. */
export const hex = (bytes: number): v.GenericSchema<string> =>
  v.pipe(v.string(), v.regex(/^[0-9a-f]*$/), v.length(bytes * 2));

/** A name of at most so many characters. Names are shown to people: no control characters. */
export const name = (maximum: number): v.GenericSchema<string> => v.pipe(text(maximum), v.regex(/^\P{Cc}*$/u));

const region = v.strictObject({ name: name(256), byteLength: whole(MAX_NUMBER) });
const pageBytes = v.pipe(
  whole(65536),
  v.check((bytes) => bytes >= 1024 && (bytes & (bytes - 1)) === 0, "not a page size"),
);
const configuration = v.pipe(
  v.record(text(64), v.union([text(1024), v.number(), v.boolean()])),
  v.check((record) => Object.keys(record).length <= 64, "more than 64 entries"),
);
/** A machine as it is announced: its memory regions, and what a host must know. */
export const machineSchema: v.GenericSchema<unknown, Messages["announce"]["machine"]> = v.strictObject({
  name: name(256),
  kind: name(64),
  pageBytes,
  regions: v.pipe(v.array(region), v.maxLength(256)),
  configuration,
});

const SCHEMAS: { readonly [Name in keyof Messages]: v.GenericSchema<unknown, Messages[Name]> } = {
  // A later version may say more in its greeting.
  hello: v.object({
    protocol: v.literal("pageferry"),
    versions: v.strictTuple([whole(65535), whole(65535)]),
    features: v.pipe(v.array(text(64)), v.maxLength(64)),
  }),
  announce: v.strictObject({
    session: hex(32),
    machine: machineSchema,
    stateMaxBytes: whole(MAX_NUMBER),
    fingerprintSeed: hex(8),
    compression: v.picklist(["none", "lz4", "zstd", "auto"]),
  }),
  accept: v.strictObject({ hasBase: v.boolean(), isLazy: v.boolean() }),
  roundEnd: v.strictObject({ round: whole(MAX_NUMBER) }),
  roundDone: v.strictObject({ round: whole(MAX_NUMBER) }),
  verify: v.strictObject({ digest: hex(32), stateBytes: whole(MAX_NUMBER) }),
  switchOver: v.strictObject({ stateDigest: hex(32), stateBytes: whole(MAX_NUMBER) }),
  allSent: v.strictObject({ digest: hex(32) }),
  allHere: v.strictObject({}),
  probed: v.strictObject({}),
  ready: v.strictObject({}),
  commit: v.strictObject({}),
  running: v.strictObject({}),
  fail: v.strictObject({ code: text(64), message: text(4096) }),
  ask: v.strictObject({ session: hex(32) }),
  outcome: v.strictObject({ outcome: v.picklist(["running", "following", "lost", "discarded", "unknown"]) }),
};

/** The body of a JSON message. */
export function encodeMessage<Name extends keyof Messages>(message: Messages[Name]): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

/** Reads and checks a JSON message. Throws `message-malformed`. */
export function decodeMessage<Name extends keyof Messages>(name: Name, body: Uint8Array): Messages[Name] {
  return checkedMessage(name, SCHEMAS[name], body);
}

/** Reads a JSON message of any protocol and checks it against its schema. Throws `message-malformed`. */
export function checkedMessage<Message>(
  name: string,
  schema: v.GenericSchema<unknown, Message>,
  body: Uint8Array,
): Message {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (cause) {
    throw new WireError("message-malformed", `A message ${name} is not JSON.`, { cause });
  }
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  // What came may be a secret, or made for the terminal that shows this: it is not repeated.
  const where = v
    .getDotPath(issue)
    ?.replaceAll(/[^\w.]/g, "?")
    .slice(0, MAX_PATH_LENGTH);
  const what = issue.message.replace(/ but received .*/s, "");
  throw new WireError("message-malformed", `A message ${name} is malformed${where ? ` at ${where}` : ""}: ${what}.`);
}
