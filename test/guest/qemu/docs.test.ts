import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { continuity } from "../../lab/counter.js";
import { LabMachine } from "../../lab/machine.js";
import type { LabPlan } from "../../lab/plan.js";
import { freePort } from "../../lab/port.js";
import { labUnavailable } from "../../lab/require.js";
import { RunningCommand, runCommand } from "../../support/command.js";
import { exampleIn } from "../../support/docs.js";

const reason = await labUnavailable();
const DOCUMENT = "docs/qemu.md";
const OPTIONS = { workload: { kind: "idle" }, memoryBytes: 512 << 20 } as const;
/** What the document's QEMU is given itself, and what of the lab's machine is the same. */
const DOCUMENTED = ["-name", "-machine", "-m", "-object"];

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A command of the document in words, some of them replaced. */
function words(name: string, replacements: Readonly<Record<string, string>>): string[] {
  let text = exampleIn(DOCUMENT, "sh", name).replaceAll("\\\n", " ").replaceAll("…", " ").trim();
  expect(text, name).not.toContain("\n");
  for (const [from, to] of Object.entries(replacements)) {
    expect(text, `${name} has ${from}`).toContain(from);
    text = text.replaceAll(from, to);
  }
  return text.split(/\s+/);
}

/** A pageferry command of the document, in a folder where its credentials are. */
function pageferry(
  name: string,
  folder: string,
  replacements: Record<string, string>,
  more: string[] = [],
): RunningCommand {
  const [program, ...parameters] = words(name, { "credentials/": `${folder}/credentials/`, ...replacements });
  expect(program).toBe("pageferry");
  const command = new RunningCommand([...parameters, ...more]);
  cleanups.push(() => command.process.kill("SIGKILL"));
  return command;
}

/** What the lab's machine has and the document leaves out: kernel, serial ports, the lab's own QMP socket. */
function restOf({ paths, commandLine }: LabPlan): string[] {
  const rest: string[] = [];
  for (let at = 1; at < commandLine.length; at += 2) {
    const [option, value] = [commandLine[at] as string, commandLine[at + 1] as string];
    const isFlag = value.startsWith("-");
    const isMonitor = option === "-qmp" && value.includes(paths.monitor);
    if (!isMonitor && !DOCUMENTED.includes(option)) rest.push(...(isFlag ? [option] : [option, value]));
    if (isFlag) at -= 1;
  }
  return rest;
}

/** The document's QEMU, with the lab's guest in it. */
async function startMachine(...more: string[]): Promise<LabMachine> {
  const plan = await LabMachine.plan(OPTIONS);
  const command = words("machine", { "/dev/shm/db": plan.paths.ram, "/run/db.qmp": plan.paths.monitor });
  spawn("setpriv", ["--pdeathsig", "KILL", ...command, ...restOf(plan), ...more], { stdio: "ignore" });
  const machine = await LabMachine.attach(plan);
  cleanups.push(() => machine.stop());
  return machine;
}

async function portOf(command: RunningCommand): Promise<string> {
  return (await command.waitFor(/ at [^ ]+:(\d+)/))[1] as string;
}

describe.skipIf(reason !== undefined)(`docs/qemu.md (${reason ?? "lab"})`, () => {
  it("takes a machine through each way", { timeout: 600_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), "pageferry-"));
    cleanups.push(() => rmSync(folder, { recursive: true }));
    const keygen = words("keys", { "-o credentials": `-o ${folder}/credentials` });
    expect((await runCommand(...keygen.slice(1))).status).toBe(0);
    const listen = { "0.0.0.0:7800": "127.0.0.1:0" };
    const to = (port: string): Record<string, string> => ({ "beta:7800": `127.0.0.1:${port} --server-name beta` });

    const first = await startMachine();
    await first.waitForReady();
    await first.countOn(3);

    const plan = await LabMachine.plan(OPTIONS);
    const started = pageferry("receive-command", folder, { ...listen, "/dev/shm/db": plan.paths.ram }, restOf(plan));
    // Attached before it runs: what a machine prints while nobody listens is lost.
    const arriving = LabMachine.attach(plan);
    const migrated = pageferry("migrate", folder, { ...to(await portOf(started)), "/run/db.qmp": first.paths.monitor });
    expect((await migrated.done).status, (await migrated.done).stderr).toBe(0);
    const [, socket] = /Its QMP socket is (\S+)\./.exec((await started.done).stdout) as unknown as [string, string];
    const second = await arriving;
    cleanups.push(() => second.stop());
    await second.countOn(3);

    const third = await startMachine("-incoming", "defer");
    const waiting = pageferry("receive-qmp", folder, { ...listen, "/run/db.qmp": third.paths.monitor });
    const back = pageferry("migrate", folder, { ...to(await portOf(waiting)), "/run/db.qmp": socket });
    expect((await back.done).status, (await back.done).stderr).toBe(0);
    expect((await waiting.done).status).toBe(0);
    await third.countOn(3);

    const [into, out] = [await freePort(), await freePort()];
    const fourth = await startMachine("-incoming", `tcp:127.0.0.1:${into}`);
    const relay = pageferry("relay-receive", folder, { ...listen, "127.0.0.1:5555": `127.0.0.1:${into}` });
    const sender = pageferry("relay-send", folder, {
      ...to(await portOf(relay)),
      "127.0.0.1:4444": `127.0.0.1:${out}`,
    });
    await sender.waitFor(/\n/);
    const resumed = fourth.qmp.nextEvent("RESUME", undefined, { timeoutMs: 120_000 });
    const order = JSON.parse(exampleIn(DOCUMENT, "json", "qmp").replace("4444", String(out)));
    await third.qmp.execute(order.execute, order.arguments);
    await resumed;
    await fourth.countOn(3);

    // The last way is QEMU's own, which may lose pages where it emulates the processor: there the counter only has to go on.
    const printed = [first, second, third].map((machine) => machine.printed);
    expect(continuity(...printed).breaks).toEqual([]);
    expect(await fourth.verifyManifest()).toBe(true);
  });
});
