import * as v from "valibot";
import { printable } from "../../wire/printable.js";
import { QmpError } from "./errors.js";

/** Something that QEMU tells without being asked. */
export interface QmpEvent {
  /** Such as "STOP", "RESUME", "MIGRATION". */
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** QEMU's clock, in ms since 1970. */
  readonly timeMs: number;
}

/** What a QMP server says. */
export type QmpMessage =
  | { readonly kind: "greeting"; readonly version: string }
  | { readonly kind: "return"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly qemuClass: string; readonly description: string }
  | ({ readonly kind: "event" } & QmpEvent);

const MAX_NAME_LENGTH = 256;
/** How much of QEMU's words is told. */
const MAX_DESCRIPTION_LENGTH = 1000;

const whole = v.pipe(v.number(), v.safeInteger());
const name = v.pipe(v.string(), v.maxLength(MAX_NAME_LENGTH), v.regex(/^[\w.-]+$/));
const version = v.object({ major: whole, minor: whole, micro: whole });
const id = v.pipe(whole, v.minValue(1));

/** All are open objects: a later QEMU may say more. Layout: `docs/interop/qmp-spec` of QEMU. */
const greeting = v.object({ QMP: v.object({ version: v.object({ qemu: version }) }) });
const result = v.object({ return: v.unknown(), id });
const failure = v.object({ error: v.object({ class: name, desc: v.string() }), id });
const event = v.object({
  event: name,
  data: v.optional(v.record(v.string(), v.unknown()), {}),
  timestamp: v.object({ seconds: v.number(), microseconds: v.number() }),
});

/** Reads and checks a line from a QMP server. Numbers past 2^53 lose their last digits. Throws `malformed`. */
export function parseQmpMessage(line: Uint8Array): QmpMessage {
  const value = parseJson(line);
  if (has(value, "event")) {
    const { event: happened, data, timestamp } = check(event, value, "an event");
    const timeMs = timestamp.seconds * 1000 + timestamp.microseconds / 1000;
    return { kind: "event", event: happened, data, timeMs };
  }
  if (has(value, "return")) {
    const answer = check(result, value, "an answer");
    return { kind: "return", id: answer.id, value: answer.return };
  }
  if (has(value, "error")) {
    const { error, id: answered } = check(failure, value, "an error");
    const description = printable(error.desc).slice(0, MAX_DESCRIPTION_LENGTH);
    return { kind: "error", id: answered, qemuClass: error.class, description };
  }
  const { major, minor, micro } = check(greeting, value, "its greeting").QMP.version.qemu;
  return { kind: "greeting", version: `${major}.${minor}.${micro}` };
}

function parseJson(line: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(line));
  } catch {
    // The parser's own message repeats what came.
    throw malformed("a line that is not JSON");
  }
}

function has(value: unknown, member: string): boolean {
  return typeof value === "object" && value !== null && Object.hasOwn(value, member);
}

function check<Output>(schema: v.GenericSchema<unknown, Output>, value: unknown, what: string): Output {
  const checked = v.safeParse(schema, value);
  if (checked.success) return checked.output;
  throw malformed(`${what} of the wrong shape`);
}

/** What came may be made for the terminal that shows this: it is not repeated. */
export function malformed(what: string): QmpError {
  return new QmpError("malformed", `What answers is no QMP server that can be understood: it sent ${what}.`);
}
