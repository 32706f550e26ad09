import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeDelivered,
  decodeRelayData,
  encodeDelivered,
  encodeRelayData,
  RELAY_MAX_RAW_BYTES,
} from "../../src/wire/relay-data.js";
import {
  decodeRelayMessage,
  RELAY_FRAME_MAX_BYTES,
  RELAY_PROTOCOL_VERSION,
  RelayFrameType,
  type RelayMessages,
} from "../../src/wire/relay-messages.js";
import { fromZigzag, Order, ScriptWriter } from "../../src/wire/relay-script.js";
import { VarintReader } from "../../src/wire/varint.js";
import { toHex } from "../support/bytes.js";

const malformed = expect.objectContaining({ name: "WireError", code: "message-malformed" });
const MESSAGES: RelayMessages = {
  hello: {
    protocol: "pageferry-relay",
    versions: [1, 1],
    machines: ["db", "Büro"],
    cacheBytes: 536870912,
    seed: "0123456789abcdef",
  },
  welcome: { versions: [1, 1], cacheBytes: 0 },
  open: { machine: "db" },
  codec: { codec: 1, cacheBytes: 262144 },
  drop: { codec: 1 },
  end: {},
  fail: { code: "qemu-failed", message: "QEMU broke off." },
};

function encoded(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

describe("messages between relays", () => {
  it("have the types, limits and version that they had", () => {
    expect(RELAY_PROTOCOL_VERSION).toBe(1);
    expect(Object.keys(RelayFrameType).join()).toBe(
      "hello,welcome,open,codec,drop,data,received,delivered,back,end,fail",
    );
    expect(Object.values(RelayFrameType)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    const limits = [65536, 65536, 65536, 65536, 65536, 8_683_576, 8, 8, 65536, 65536, 65536];
    expect([...RELAY_FRAME_MAX_BYTES.values()]).toEqual(limits);
  });

  it.each(Object.entries(MESSAGES))("%s is read as it was written, and nothing but it", (name, message) => {
    const type = name as keyof RelayMessages;
    expect(decodeRelayMessage(type, encoded(message))).toEqual(message);
    for (const key of Object.keys(message)) {
      // What somebody says in words is made fit to be shown later.
      const text = type === "fail" ? [] : ["\n"];
      for (const value of [undefined, null, -1, 1.5, 2 ** 53, {}, [[]], "x".repeat(70_000), ...text]) {
        expect(() => decodeRelayMessage(type, encoded({ ...message, [key]: value })), key).toThrow(malformed);
      }
    }
    const more = { ...message, more: 1 };
    if (name === "hello" || name === "welcome") expect(decodeRelayMessage(type, encoded(more))).toEqual(message);
    else expect(() => decodeRelayMessage(type, encoded(more))).toThrow(malformed);
  });

  it("name no more than 64 machines, each by one character at least", () => {
    for (const machines of [Array.from({ length: 65 }, (_, at) => `${at}`), [""]]) {
      expect(() => decodeRelayMessage("hello", encoded({ ...MESSAGES.hello, machines }))).toThrow(malformed);
    }
  });
});

describe("a data frame", () => {
  it("is the golden one, both ways", () => {
    const digest = Uint8Array.from({ length: 32 }, (_, at) => at);
    const data = { rawBytes: 0x012345, codec: 7, digest, batch: Uint8Array.of(0xaa, 0xbb) };
    const body = encodeRelayData(data);
    const golden = `4523010007000000${toHex(digest)}aabb`;
    expect(toHex(body)).toBe(golden);
    expect(decodeRelayData(body)).toEqual(data);
  });

  it("is refused where it is too short, or stands for too much", () => {
    const body = encodeRelayData({
      rawBytes: RELAY_MAX_RAW_BYTES,
      codec: 0,
      digest: new Uint8Array(32),
      batch: new Uint8Array(0),
    });
    expect(decodeRelayData(body).rawBytes).toBe(4194304);
    expect(() => decodeRelayData(body.subarray(1))).toThrow(malformed);
    new DataView(body.buffer).setUint32(0, RELAY_MAX_RAW_BYTES + 1, true);
    expect(() => decodeRelayData(body)).toThrow(malformed);
  });

  it("is answered by a number of 64 bits", () => {
    expect(toHex(encodeDelivered(2 ** 40 + 3))).toBe("0300000000010000");
    expect(decodeDelivered(encodeDelivered(2 ** 40 + 3))).toBe(2 ** 40 + 3);
    expect(() => decodeDelivered(new Uint8Array(7))).toThrow(malformed);
  });
});

describe("a script", () => {
  it("is the golden one", () => {
    const writer = new ScriptWriter(1000);
    const stream = Uint8Array.of(1, 2, 3, 4, 5, 6);
    writer.verbatim(stream, 1, 3);
    writer.verbatim(stream, 3, 4);
    writer.block(new TextEncoder().encode("ram"), 300);
    writer.namedPage(0);
    writer.page();
    writer.page();
    writer.zero(5);
    writer.zero(0);
    writer.zero(-1);
    writer.namedZero(1, -2);
    writer.choose(2);
    writer.verbatim(stream, 0, 1);
    writer.verbatim(stream, 5, 6);
    const golden = "19020304" + "1f72616dac02" + "04" + "12" + "130a" + "0b01" + "0d03" + "16" + "0901" + "0906";
    expect(toHex(writer.take())).toBe(golden);
    expect(writer.take().length).toBe(0);
    writer.page();
    expect(toHex(writer.take())).toBe("0a");
  });

  it("has distances that are read as they were written", () => {
    fc.assert(
      fc.property(fc.integer({ min: -(2 ** 33), max: 2 ** 33 - 1 }), (distance) => {
        const writer = new ScriptWriter(20);
        writer.namedZero(3, distance);
        const reader = new VarintReader(writer.take());
        expect(reader.next()).toBe(3 * 8 + Order.namedZero);
        expect(fromZigzag(reader.next())).toBe(distance);
      }),
    );
  });
});
