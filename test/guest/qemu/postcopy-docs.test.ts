import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { continuity } from "../../lab/counter.js";
import { DocumentedCommands, LISTEN, portOf, restOf, toPort } from "../../lab/documented.js";
import type { LabMachine } from "../../lab/machine.js";
import { labUnavailable } from "../../lab/require.js";
import { poll } from "../../lab/wait.js";
import { fuseMissing } from "../../support/fuse.js";

const run = promisify(execFile);
const reason = (await labUnavailable()) ?? fuseMissing();

describe.skipIf(reason !== undefined)(`docs/postcopy.md (${reason ?? "lab"})`, () => {
  it("lets machines run before their memory is there", { timeout: 600_000 }, async ({ onTestFinished }) => {
    const document = await DocumentedCommands.of("docs/postcopy.md");
    onTestFinished(() => document.end());

    const first = await document.startMachine();
    await first.waitForReady();
    await first.countOn(3);
    const plan = await document.plan();
    const receiving = document.pageferry("receive", { ...LISTEN, "/dev/shm/db": plan.paths.ram }, restOf(plan));
    // Attached before it runs: what a machine prints while nobody listens is lost.
    const arriving = document.attach(plan);
    const migrated = document.pageferry("migrate", {
      ...toPort(await portOf(receiving)),
      "/run/db.qmp": first.paths.monitor,
    });
    expect((await migrated.done).status, (await migrated.done).stderr).toBe(0);
    expect((await receiving.done).stdout).toContain("Its QMP socket is");
    const second = await arriving;
    await second.countOn(3);
    expect(continuity(first.printed, second.printed).breaks).toEqual([]);
    expect(await second.verifyManifest()).toBe(true);
  });

  it("takes a machine into a QEMU that was started on its memory", { timeout: 600_000 }, async ({ onTestFinished }) => {
    const document = await DocumentedCommands.of("docs/postcopy.md");
    onTestFinished(() => document.end());

    const from = await document.startMachine();
    await from.waitForReady();
    const plan = await document.plan();
    const files = { "/dev/shm/db": plan.paths.ram, "/run/db.qmp": plan.paths.monitor };
    const receiving = document.pageferry("receive-qmp", { ...LISTEN, ...files });
    await receiving.waitFor(/Memory is served/);
    const machine = document.words("machine", files).map((word) => word.replace(/share=on$/, "share=off"));
    const waiting = await document.start(plan, [...machine, ...restOf(plan), "-incoming", "defer"]);
    const migrated = document.pageferry("migrate", {
      ...toPort(await portOf(receiving)),
      "/run/db.qmp": from.paths.monitor,
    });
    expect((await migrated.done).status, (await migrated.done).stderr).toBe(0);
    expect((await receiving.done).status).toBe(0);
    await waiting.countOn(3);
    expect(continuity(from.printed, waiting.printed).breaks).toEqual([]);
    expect(await waiting.verifyManifest()).toBe(true);
  });

  it("starts a machine from an image and a patch, which appear as a file", { timeout: 600_000 }, async ({
    onTestFinished,
  }) => {
    const document = await DocumentedCommands.of("docs/postcopy.md");
    onTestFinished(() => document.end());
    const { folder } = document;
    const tell = async ({ qmp }: LabMachine, name: string, replacements = {}): Promise<unknown> => {
      const { execute: order, arguments: given } = document.message(name, replacements);
      return await qmp.execute(order, given);
    };

    const before = await document.startMachine();
    await before.waitForReady();
    await before.qmp.execute("stop");
    const copy = document.words("copy", { "/dev/shm/db": before.ramPath, "/srv": folder });
    await run(copy[0] as string, [...copy.slice(1, -1), `${folder}/monday.raw`]);
    await before.qmp.execute("cont");
    await before.countOn(5);
    await before.qmp.execute("stop");
    await tell(before, "capability");
    const saved = before.qmp.nextEvent("MIGRATION", ({ data }) => data["status"] === "completed", {
      timeoutMs: 30_000,
    });
    await before.qmp.execute("migrate-set-capabilities", { capabilities: [{ capability: "events", state: true }] });
    await tell(before, "save", { "/srv": folder });
    await saved;
    await run(copy[0] as string, copy.slice(1));
    const diff = document.pageferry("diff", { "/srv": folder });
    expect((await diff.done).status, (await diff.done).stderr).toBe(0);

    const plan = await document.plan();
    // Not in the machine's folder, which goes with it.
    const memory = { "/dev/shm/db": `${folder}/memory` };
    const files = { ...memory, "/run/db.qmp": plan.paths.monitor };
    const mounted = document.pageferry("mount", { "/srv": folder, ...memory });
    await mounted.waitFor(/\n/);
    const machine = document.words("machine", files).map((word) => word.replace(/share=on$/, "share=off"));
    const restored = await document.start(plan, [...machine, ...restOf(plan), "-incoming", "defer"]);
    await tell(restored, "capability");
    await tell(restored, "load", { "/srv": folder });
    await poll(async () => {
      const { status } = await restored.qmp.execute<{ status: string }>("query-status");
      return status !== "inmigrate" || undefined;
    }, AbortSignal.timeout(30_000));
    await restored.qmp.execute("cont");
    await restored.countOn(5);
    expect(continuity(before.printed, restored.printed).breaks).toEqual([]);
    expect(await restored.verifyManifest()).toBe(true);
    await restored.stop();
    mounted.process.kill("SIGTERM");
    expect((await mounted.done).stderr).toBe("");
  });
});
