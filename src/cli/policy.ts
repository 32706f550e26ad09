import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import * as v from "valibot";
import type { ArrivalRequest } from "../migration/arrival.js";
import { memoryBytesOf } from "../migration/layout.js";
import { CommandError, ExitCode } from "./exit-codes.js";
import { formatBytes, parseBytes } from "./units.js";

const MAX_RULES = 1000;

const bytes = v.pipe(
  v.union([v.string(), v.number()]),
  v.transform((value) => parseBytes(String(value))),
  v.number("not a number of bytes"),
);

const schema = v.strictObject({
  allow: v.pipe(
    v.array(
      v.strictObject({
        peer: v.string(),
        fingerprint: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/, "not a SHA-256 in hex"))),
        machine: v.string(),
        kind: v.optional(v.picklist(["file", "memory", "v86"]), "file"),
        maxBytes: bytes,
        into: v.optional(v.string(), "."),
      }),
    ),
    v.maxLength(MAX_RULES),
  ),
});

/** One permission: this peer may bring machines of this name, of this kind, up to this size, into this folder. */
export interface PolicyRule {
  /** The name in the peer's certificate; `*` for any, also for one that has not proven who it is. */
  readonly peer: string;
  /** SHA-256 of the peer's certificate, where just this one is meant. */
  readonly fingerprint?: string | undefined;
  /** `*` stands for any part of a name. */
  readonly machine: string;
  readonly kind: string;
  readonly maxBytes: number;
  readonly into: string;
}

/** Who may bring which machine, of what size, into what. What no rule allows is refused. */
export class Policy {
  readonly #rules: readonly PolicyRule[];

  constructor(rules: readonly PolicyRule[]) {
    this.#rules = rules;
  }

  /** Reads a policy file; its folders are meant from where it lies. */
  static async read(path: string): Promise<Policy> {
    let value: unknown;
    try {
      value = JSON.parse(await readFile(path, "utf8"));
    } catch (cause) {
      throw new CommandError(ExitCode.usage, `The policy ${path} cannot be read: ${(cause as Error).message}`, {
        cause,
      });
    }
    const result = v.safeParse(schema, value);
    if (result.success) {
      const folder = dirname(resolve(path));
      return new Policy(result.output.allow.map((rule) => ({ ...rule, into: resolve(folder, rule.into) })));
    }
    const [issue] = result.issues;
    throw new CommandError(
      ExitCode.usage,
      `The policy ${path} is wrong at ${v.getDotPath(issue) ?? "its top"}: ${issue.message}`,
    );
  }

  /** The most bytes that any rule allows. */
  get maxBytes(): number {
    return Math.max(0, ...this.#rules.map((rule) => rule.maxBytes));
  }

  /** The first rule that allows the machine, or why none does. */
  decide({ machine, peer }: ArrivalRequest): PolicyRule | string {
    const who = peer === undefined ? "somebody unknown" : `${peer.name} (${peer.fingerprint.slice(0, 16)}…)`;
    const mine = this.#rules.filter(
      (rule) =>
        (rule.peer === "*" || rule.peer === peer?.name) &&
        (rule.fingerprint === undefined || rule.fingerprint === peer?.fingerprint) &&
        rule.kind === machine.kind &&
        matches(rule.machine, machine.name),
    );
    if (mine.length === 0)
      return `The policy here does not let ${who} bring the ${machine.kind} ${JSON.stringify(machine.name)}.`;
    const memoryBytes = memoryBytesOf(machine);
    const fitting = mine.find((rule) => rule.maxBytes >= memoryBytes);
    return fitting ?? `The policy here lets ${who} bring less than ${formatBytes(memoryBytes)}.`;
  }
}

function matches(pattern: string, name: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^]*")}$`).test(name);
}
