import { describe, expect, it } from "vitest";
import {
  BASE_MAX_BYTES,
  decodeMessage,
  encodeMessage,
  FRAME_MAX_BYTES,
  FrameType,
  type Messages,
  PROTOCOL_VERSION,
} from "../../src/wire/messages.js";
import { expectSameBytes } from "../support/bytes.js";
import { goldenLines } from "./golden/golden.js";

const SESSION = "00112233445566778899aabbccddeeff".repeat(2);
const MIB = 1 << 20;

const MESSAGES: Messages = {
  hello: { protocol: "pageferry", versions: [1, 1], features: [] },
  announce: {
    session: SESSION,
    machine: {
      name: "guest",
      kind: "memory",
      pageBytes: 4096,
      regions: [
        { name: "ram", byteLength: 16 * MIB },
        { name: "bios", byteLength: 65536 },
      ],
      configuration: { seed: 7, label: "Grüße", isLogging: true },
    },
    stateMaxBytes: 65536,
    fingerprintSeed: "0123456789abcdef",
    compression: "auto",
  },
  accept: { hasBase: false, isLazy: true },
  roundEnd: { round: 3 },
  roundDone: { round: 3 },
  verify: { digest: SESSION, stateBytes: 40 },
  switchOver: { stateDigest: SESSION, stateBytes: 40 },
  allSent: { digest: SESSION },
  allHere: {},
  probed: {},
  ready: {},
  commit: {},
  running: {},
  fail: { code: "refused", message: "No room." },
  ask: { session: SESSION },
  outcome: { outcome: "discarded" },
};
const NAMES = Object.keys(MESSAGES) as (keyof Messages)[];
const malformed = expect.objectContaining({ name: "WireError", code: "message-malformed" });

function decodeText<Name extends keyof Messages>(name: Name, text: string): Messages[Name] {
  return decodeMessage(name, new TextEncoder().encode(text));
}

/** The value with something else at the path; undefined takes the entry out. */
function changed(value: unknown, path: readonly string[], to: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return to;
  const copy = structuredClone(value) as Record<string, unknown>;
  const inner = changed(copy[key], rest, to);
  if (inner === undefined) delete copy[key];
  else copy[key] = inner;
  return copy;
}

/** The paths of all that stands in a value. */
function pathsIn(value: unknown): string[][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [[key], ...pathsIn(inner).map((path) => [key, ...path])]);
}

function errorOf(name: keyof Messages, text: string): Error {
  try {
    decodeText(name, text);
  } catch (error) {
    expect(error).toEqual(malformed);
    return error as Error;
  }
  return expect.fail(`${text} was taken`);
}

describe("types and limits of frames", () => {
  it("are what they were", () => {
    expect(PROTOCOL_VERSION).toBe(1);
    expect(Object.entries(FrameType).map(([name, type]) => `${type} ${name} ${FRAME_MAX_BYTES.get(type)}`)).toEqual([
      "1 hello 65536",
      "2 announce 65536",
      "3 accept 65536",
      "4 base 1048576",
      "5 batch 8683536",
      "6 roundEnd 65536",
      "7 roundDone 65536",
      "8 verify 65536",
      "9 ready 65536",
      "10 commit 65536",
      "11 running 65536",
      "12 fail 65536",
      "13 ask 65536",
      "14 outcome 65536",
      "15 received 8",
      "16 switchOver 65536",
      "17 wanted 4096",
      "18 clean 4096",
      "19 allSent 65536",
      "20 allHere 65536",
      "21 probe 65536",
      "22 probed 65536",
      "128 alive 0",
    ]);
    expect(BASE_MAX_BYTES).toBe(MIB);
  });
});

describe("messages", () => {
  it("are the golden ones, both ways", async () => {
    const lines = await goldenLines("messages.txt");
    expect(lines.map(([name]) => name)).toEqual(NAMES);
    for (const [name, text] of lines as readonly (readonly [keyof Messages, string])[]) {
      expect(decodeText(name, text)).toEqual(MESSAGES[name]);
      expectSameBytes(encodeMessage(MESSAGES[name]), new TextEncoder().encode(text));
    }
  });

  it.each(NAMES)("%s is refused where anything is missing, or of another type", (name) => {
    const message = MESSAGES[name];
    for (const path of pathsIn(message)) {
      const isConfiguration = path.includes("configuration") && path.at(-1) !== "configuration";
      const isListEntry = /^\d$/.test(path.at(-1) as string);
      for (const to of [undefined, null, [[]], { a: [] }, -1, 1.5, "x".repeat(70_000)]) {
        if (to === undefined && (isConfiguration || isListEntry)) continue;
        if (isConfiguration && typeof to === "number") continue;
        const text = JSON.stringify(changed(message, path, to));
        expect(() => decodeText(name, text), text.slice(0, 200)).toThrow(malformed);
      }
    }
    for (const text of ["", " ", "null", "1", '"x"', "[{}]", "{", "{}}", "{'a':1}", "undefined"]) {
      expect(() => decodeText(name, text), text).toThrow(malformed);
    }
  });

  it("take no more than they know, but for the greeting of a later version", () => {
    for (const name of NAMES) {
      const text = JSON.stringify({ ...MESSAGES[name], later: 1 });
      if (name === "hello") expect(decodeText(name, text)).toEqual(MESSAGES.hello);
      else expect(() => decodeText(name, text), name).toThrow(malformed);
    }
    const inside = [
      ["machine", "later"],
      ["machine", "regions", "0", "later"],
    ];
    for (const path of inside) {
      expect(() => decodeText("announce", JSON.stringify(changed(MESSAGES.announce, path, 1)))).toThrow(malformed);
    }
  });

  it("are refused at every limit, and taken just inside it", () => {
    const configurationOf = (count: number): object =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`key${at}`, at]));
    const region = { name: "ram", byteLength: 1 };
    const limits: readonly (readonly [keyof Messages, string, unknown, unknown])[] = [
      ["hello", "protocol", "pageferry", "pageferry2"],
      ["hello", "versions", [0, 65535], [0, 65536]],
      ["hello", "versions", [2, 3], [2, 3, 4]],
      ["hello", "features", new Array(64).fill("x".repeat(64)), new Array(65).fill("x")],
      ["hello", "features", ["x".repeat(64)], ["x".repeat(65)]],
      ["announce", "session", SESSION, SESSION.slice(1)],
      ["announce", "session", SESSION, SESSION.toUpperCase()],
      ["announce", "session", SESSION, `${SESSION}00`],
      ["announce", "machine.name", "x".repeat(256), "x".repeat(257)],
      ["announce", "machine.kind", "x".repeat(64), "x".repeat(65)],
      ["announce", "machine.pageBytes", 1024, 512],
      ["announce", "machine.pageBytes", 65536, 131072],
      ["announce", "machine.pageBytes", 8192, 4097],
      ["announce", "machine.pageBytes", 2048, 0],
      ["announce", "machine.regions", new Array(256).fill(region), new Array(257).fill(region)],
      ["announce", "machine.regions.0.byteLength", Number.MAX_SAFE_INTEGER, 2 ** 53],
      ["announce", "machine.regions.0.name", "x".repeat(256), "x".repeat(257)],
      ["announce", "machine.configuration", configurationOf(64), configurationOf(65)],
      ["announce", "machine.configuration", { ["k".repeat(64)]: 1 }, { ["k".repeat(65)]: 1 }],
      ["announce", "machine.configuration", { k: "x".repeat(1024) }, { k: "x".repeat(1025) }],
      ["announce", "machine.configuration", { k: -1.5 }, { k: null }],
      ["announce", "stateMaxBytes", 0, -1],
      ["announce", "fingerprintSeed", "0".repeat(16), "0".repeat(17)],
      ["announce", "fingerprintSeed", "f".repeat(16), "g".repeat(16)],
      ["announce", "compression", "zstd", "gzip"],
      ["roundEnd", "round", Number.MAX_SAFE_INTEGER, 2 ** 53],
      ["verify", "digest", SESSION, SESSION.slice(2)],
      ["verify", "stateBytes", 0, 0.5],
      ["fail", "code", "x".repeat(64), "x".repeat(65)],
      ["fail", "message", "x".repeat(4096), "x".repeat(4097)],
      ["outcome", "outcome", "unknown", "Running"],
    ];
    for (const [name, path, inside, outside] of limits) {
      const keys = path.split(".");
      const taken = changed(MESSAGES[name], keys, inside);
      expect(decodeText(name, JSON.stringify(taken)), path).toEqual(taken);
      expect(() => decodeText(name, JSON.stringify(changed(MESSAGES[name], keys, outside))), path).toThrow(malformed);
    }
  });

  it("have no control characters in names", () => {
    for (const path of ["name", "kind", "regions.0.name"]) {
      const named = (name: string) => changed(MESSAGES.announce, ["machine", ...path.split(".")], name);
      expect(decodeText("announce", JSON.stringify(named("überall 1")))).toEqual(named("überall 1"));
      expect(() => decodeText("announce", JSON.stringify(named("\u001b[2J")))).toThrow(malformed);
    }
  });

  it("are refused in anything but UTF-8", () => {
    const bytes = encodeMessage(MESSAGES.fail);
    for (const byte of [0xff, 0xc0, 0xed, 0x80]) {
      const wrong = bytes.slice();
      wrong[bytes.length - 5] = byte;
      expect(() => decodeMessage("fail", wrong)).toThrow(malformed);
    }
  });

  it("are refused deep and huge", () => {
    for (const name of NAMES) {
      for (const [open, close] of [
        ["[", "]"],
        ['{"machine":', "}"],
        ['{"configuration":[', "]}"],
      ] as const) {
        const depth = Math.floor(65536 / (open.length + close.length));
        const nested = `${open.repeat(depth)}1${close.repeat(depth)}`;
        expect(() => decodeText(name, nested)).toThrow(malformed);
        expect(() => decodeText(name, open.repeat(depth))).toThrow(malformed);
      }
      const manyKeys = JSON.stringify(Object.fromEntries(Array.from({ length: 6000 }, (_, at) => [`k${at}`, 0])));
      if (name !== "hello") expect(() => decodeText(name, manyKeys)).toThrow(malformed);
    }
    const deep = JSON.stringify(MESSAGES.announce).replace('"Grüße"', `${"[".repeat(30_000)}${"]".repeat(30_000)}`);
    expect(() => decodeText("announce", deep)).toThrow(malformed);
  });

  it("reach nothing through names that objects have already", () => {
    const text = JSON.stringify(MESSAGES.announce).replace('{"seed":7', '{"__proto__":{"isEvil":true},"seed":7');
    let configuration: Readonly<Record<string, unknown>> = {};
    try {
      configuration = decodeText("announce", text).machine.configuration;
    } catch (error) {
      expect(error).toEqual(malformed);
    }
    expect(configuration["isEvil"]).toBeUndefined();
    expect(Object.prototype).not.toHaveProperty("isEvil");
    expect(() => decodeText("ready", '{"__proto__":1}')).toThrow(malformed);
    expect(() => decodeText("ready", '{"constructor":1}')).toThrow(malformed);
  });

  it("are refused in one short sentence that repeats nothing of theirs", () => {
    const secret = SESSION.toUpperCase();
    const hostile = `\u001b[2J${"x".repeat(3000)}\u009b${secret}`;
    for (const [name, path] of [
      ["ask", "session"],
      ["hello", "protocol"],
      ["announce", "machine.name"],
      ["announce", "compression"],
      ["announce", `machine.configuration.${hostile}`],
      ["announce", `machine.${hostile}`],
      ["outcome", "outcome"],
      ["ready", hostile],
    ] as const) {
      for (const value of [hostile, secret, [hostile], null]) {
        if (path === "machine.name" && value === secret) continue;
        const text = JSON.stringify(changed(MESSAGES[name], path.split("."), value));
        const { message } = errorOf(name, text);
        expect(message).toMatch(/^A message \w+ is malformed[ -~]{0,250}\.$/);
        expect(message).not.toContain(secret);
        if (!path.includes(hostile)) expect(message).not.toContain("xxxx");
      }
    }
  });
});
