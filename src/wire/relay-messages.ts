import * as v from "valibot";
import { CONFIRMATION_BYTES } from "./confirmation.js";
import { checkedMessage, hex, name, text, whole } from "./messages.js";
import { RELAY_DATA_MAX_BYTES } from "./relay-data.js";

/** The version of the relay's protocol that this library speaks. docs/relay-protocol.md has it whole. */
export const RELAY_PROTOCOL_VERSION = 1;

/** The types of frames between two relays. Channel 0 is the session's, from 1 on each stream has its own. */
export const RelayFrameType: {
  readonly hello: 1;
  readonly welcome: 2;
  readonly open: 3;
  readonly codec: 4;
  readonly drop: 5;
  readonly data: 6;
  readonly received: 7;
  readonly delivered: 8;
  readonly back: 9;
  readonly end: 10;
  readonly fail: 11;
} = Object.freeze({
  hello: 1,
  welcome: 2,
  open: 3,
  codec: 4,
  drop: 5,
  data: 6,
  received: 7,
  delivered: 8,
  back: 9,
  end: 10,
  fail: 11,
});
export type RelayFrameType = (typeof RelayFrameType)[keyof typeof RelayFrameType];

const MESSAGE_MAX_BYTES = 64 << 10;
/** The most bytes of the return path in one frame. */
export const RELAY_BACK_MAX_BYTES: number = 64 << 10;
/** A `delivered` frame has one number of 64 bits. */
const DELIVERED_BYTES = 8;

/** The most bytes that the body of each type may have. */
export const RELAY_FRAME_MAX_BYTES: ReadonlyMap<number, number> = new Map<number, number>([
  ...Object.values(RelayFrameType).map((type) => [type, MESSAGE_MAX_BYTES] as const),
  [RelayFrameType.data, RELAY_DATA_MAX_BYTES],
  [RelayFrameType.received, CONFIRMATION_BYTES],
  [RelayFrameType.delivered, DELIVERED_BYTES],
  [RelayFrameType.back, RELAY_BACK_MAX_BYTES],
]);

/** More machines than this take more memory than one pair of relays should. */
export const RELAY_MAX_MACHINES = 64;

/** The JSON messages by the names of their types. */
export interface RelayMessages {
  /** Source, first of all. */
  readonly hello: {
    readonly protocol: "pageferry-relay";
    readonly versions: readonly [number, number];
    /** The machines whose streams may come. */
    readonly machines: readonly string[];
    /** The most memory for the caches of all codecs together. */
    readonly cacheBytes: number;
    /** The seed of the digests' fingerprints, as 64-bit hex. */
    readonly seed: string;
  };
  /** Destination: all these machines can be delivered; it has so much memory for caches, not more than the source. */
  readonly welcome: { readonly versions: readonly [number, number]; readonly cacheBytes: number };
  /** Source: a machine's QEMU has connected; the channel is the new stream's. */
  readonly open: { readonly machine: string };
  /** Source: from now on data may come in this codec, whose cache has so many bytes. */
  readonly codec: { readonly codec: number; readonly cacheBytes: number };
  /** Source: no more data comes in this codec. */
  readonly drop: { readonly codec: number };
  /** Both: QEMU has ended this direction of the stream. */
  readonly end: Record<never, never>;
  /** Both: the stream, or on channel 0 the session, is broken off, and why. */
  readonly fail: { readonly code: string; readonly message: string };
}

const versions = v.strictTuple([whole(65535), whole(65535)]);
const machineName = v.pipe(name(256), v.minLength(1));
const bytes = whole(Number.MAX_SAFE_INTEGER);
const codec = whole(0xffff_ffff);

const SCHEMAS: { readonly [Name in keyof RelayMessages]: v.GenericSchema<unknown, RelayMessages[Name]> } = {
  // A later version may say more in its greetings.
  hello: v.object({
    protocol: v.literal("pageferry-relay"),
    versions,
    machines: v.pipe(v.array(machineName), v.maxLength(RELAY_MAX_MACHINES)),
    cacheBytes: bytes,
    seed: hex(8),
  }),
  welcome: v.object({ versions, cacheBytes: bytes }),
  open: v.strictObject({ machine: machineName }),
  codec: v.strictObject({ codec, cacheBytes: bytes }),
  drop: v.strictObject({ codec }),
  end: v.strictObject({}),
  fail: v.strictObject({ code: text(64), message: text(4096) }),
};

/** Reads and checks a JSON message between relays. Throws `message-malformed`. */
export function decodeRelayMessage<Name extends keyof RelayMessages>(
  messageName: Name,
  body: Uint8Array,
): RelayMessages[Name] {
  return checkedMessage(messageName, SCHEMAS[messageName], body);
}
