import { createHash } from "node:crypto";
import type { Guest, Host } from "../../guest/guest.js";
import { MemoryGuest } from "../../guest/memory/guest.js";
import { MemoryHost } from "../../guest/memory/host.js";
import type { MemoryMachine } from "../../guest/memory/machine.js";
import { SerialConsole } from "../../guest/v86/console.js";
import { COMMAND_PORT } from "../../guest/v86/demo-userland.js";
import type { V86Emulator } from "../../guest/v86/emulator.js";
import { V86Guest } from "../../guest/v86/guest.js";
import { V86Host } from "../../guest/v86/host.js";
import { startDemoGuest } from "../../guest/v86/image.js";
import { createEmulator, installedVersion } from "../../guest/v86/node.js";
import type { DemoKind } from "./messages.js";

const COUNT = /PF count (\d+)\r?\n/g;
const WAIT_MS = 60_000;
/** The source runs for so many counts before it moves, and the destination is watched for as many. */
const WATCHED_COUNTS = 20;

/** The machine that runs at the source, and what it shows of itself. */
export interface DemoSource {
  readonly guest: Guest;
  /** SHA-256 of content that the workload leaves alone. */
  readonly contentSha256: string;
  /** To be asked after the machine has been paused: the last number that it counted to, and what it had begun to print. */
  last(): { readonly count: number; readonly consoleRest: string };
}

/** The place where it arrives. */
export interface DemoDestination {
  readonly host: Host;
  /** Watches the machine go on. */
  prove(
    consoleRest: string,
  ): Promise<{ readonly first: number; readonly last: number; readonly contentSha256: string }>;
}

export async function startSource(kind: DemoKind, onStep: (line: string) => void): Promise<DemoSource> {
  return kind === "memory" ? memorySource() : await linuxSource(onStep);
}

export async function openDestination(kind: DemoKind): Promise<DemoDestination> {
  return kind === "memory" ? memoryDestination() : await linuxDestination();
}

async function linuxSource(onStep: (line: string) => void): Promise<DemoSource> {
  const { emulator, shape, commands: console } = await startDemoGuest({ onProgress: onStep });
  const contentSha256 = await manifestOf(console);
  console.writeLine("pf-counter &");
  console.writeLine("pf-rewrite &");
  await console.waitFor(new RegExp(`PF count ${WATCHED_COUNTS}\\r?\\n`), WAIT_MS);
  return {
    guest: new V86Guest(emulator, { name: "linux", shape }),
    contentSha256,
    last() {
      const counts = [...console.text.matchAll(COUNT)];
      const last = counts.at(-1);
      const end = last === undefined ? 0 : last.index + last[0].length;
      return { count: last === undefined ? WATCHED_COUNTS : Number(last[1]), consoleRest: console.text.slice(end) };
    },
  };
}

async function linuxDestination(): Promise<DemoDestination> {
  let console: SerialConsole | undefined;
  const create = async (shape: { memoryBytes: number; vgaMemoryBytes: number }): Promise<V86Emulator> => {
    const { emulator } = await createEmulator(shape);
    console = new SerialConsole(emulator, COMMAND_PORT);
    return emulator;
  };
  const version = await installedVersion();
  return {
    host: new V86Host({ version, create }),
    async prove(consoleRest) {
      const arrived = console as SerialConsole;
      let text = consoleRest;
      let counts: number[] = [];
      while (counts.length < WATCHED_COUNTS) {
        text += (await arrived.waitFor(/[\s\S]*PF count \d+\r?\n/, WAIT_MS))[0];
        counts = Array.from(text.matchAll(COUNT), (match) => Number(match[1]));
      }
      checkConsecutive(counts);
      return { first: counts[0] as number, last: counts.at(-1) as number, contentSha256: await manifestOf(arrived) };
    },
  };
}

async function manifestOf(console: SerialConsole): Promise<string> {
  console.writeLine("pf-manifest");
  const [, sha256] = await console.waitFor(/PF manifest (\w+)\r?\n/, WAIT_MS);
  return sha256 as string;
}

function memorySource(): DemoSource {
  const guest = new MemoryGuest();
  return {
    guest,
    contentSha256: untouchedSha256(guest.content),
    last: () => ({ count: guest.content.steps, consoleRest: "" }),
  };
}

function memoryDestination(): DemoDestination {
  const host = new MemoryHost();
  return {
    host,
    async prove() {
      const content = host.content as MemoryMachine;
      content.stop();
      const last = content.steps;
      const wrong = content.wrongPages();
      if (wrong.length > 0) throw new Error(`${wrong.length} pages are not what the workload has made of them.`);
      return { first: content.startedAt + 1, last, contentSha256: untouchedSha256(content) };
    },
  };
}

function untouchedSha256({ bytes, options }: MemoryMachine): string {
  return createHash("sha256")
    .update(bytes.subarray(options.workingSetPages * options.pageBytes))
    .digest("hex");
}

function checkConsecutive(counts: readonly number[]): void {
  const gap = counts.findIndex((count, index) => index > 0 && count !== (counts[index - 1] as number) + 1);
  if (gap >= 0) throw new Error(`The machine counted ${counts[gap]} after ${counts[gap - 1]} at the destination.`);
}
