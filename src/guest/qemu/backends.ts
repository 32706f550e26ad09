import * as v from "valibot";
import { GuestError } from "../errors.js";
import type { RamFile } from "./ram.js";

const TYPE = "memory-backend-file";
const MAX_BYTES: number = 2 ** 48;
const UNITS = "BKMGTPE";
const ON = ["on", "yes", "true", "y"];

const properties = v.record(v.string(), v.union([v.string(), v.number(), v.boolean(), v.array(v.unknown()), v.null()]));
type Properties = v.InferOutput<typeof properties>;

/**
 * The memory backends of a QEMU's command line whose file is mapped privately: `-object memory-backend-file` without `share=on`, in both of QEMU's notations.
 * Throws `machine-unfit` where one lacks what it needs, and where others are shared: a machine's memory is all of one sort.
 */
export function privateBackends(commandLine: readonly string[]): RamFile[] {
  const files: RamFile[] = [];
  let shared: string | undefined;
  for (const [index, word] of commandLine.entries()) {
    if (word !== "-object" && word !== "--object") continue;
    const backend = parseObject(commandLine[index + 1] ?? "");
    if (backend["qom-type"] !== TYPE || isOn(backend["readonly"])) continue;
    if (isOn(backend["share"])) shared = String(backend["id"]);
    else files.push(describe(backend));
  }
  if (shared === undefined || files.length === 0) return files;
  throw new GuestError(
    "machine-unfit",
    `The memory backend ${shared} has share=on, ${files[0]?.name} has not: all of a machine's memory comes before it runs, or none.`,
  );
}

/** Also in JSON. (Format: "id=mem0,mem-path=a,,b" is keyval of QEMU, where a doubled comma is a comma.) */
function parseObject(text: string): Properties {
  if (text.startsWith("{")) {
    try {
      return v.parse(properties, JSON.parse(text));
    } catch {
      // QEMU itself says what is wrong with it.
      return {};
    }
  }
  const [type = "", ...pairs] = text.replaceAll(",,", "\0").split(",");
  const values = pairs.map((pair) => {
    const [, key = "", value = "on"] = /^([^=]*)(?:=(.*))?$/s.exec(pair) ?? [];
    return [key, value.replaceAll("\0", ",")];
  });
  return { "qom-type": type.replace(/^qom-type=/, ""), ...Object.fromEntries(values) };
}

function isOn(value: Properties[string] | undefined): boolean {
  return value === true || (typeof value === "string" && ON.includes(value));
}

function describe({ id, size, "mem-path": path }: Properties): RamFile {
  const byteLength = parseSize(size);
  if (typeof id === "string" && typeof path === "string" && byteLength !== undefined) {
    return { name: id, path, byteLength };
  }
  const name = typeof id === "string" ? ` ${id}` : "";
  throw new GuestError("machine-unfit", `The memory backend${name} needs id, size and mem-path.`);
}

/** Bytes, as QEMU reads sizes: a number, or with a unit, of which each is 1024 of the one before. Undefined where it is none. */
export function parseSize(size: unknown): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([BKMGTPE]?)$/i.exec(String(size));
  if (match === null) return undefined;
  const [, number, unit = ""] = match;
  const bytes = Math.floor(Number(number) * 1024 ** Math.max(0, UNITS.indexOf(unit.toUpperCase() || "B")));
  return bytes > 0 && bytes <= MAX_BYTES ? bytes : undefined;
}
