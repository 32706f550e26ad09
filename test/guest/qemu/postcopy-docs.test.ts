import { describe, expect, it } from "vitest";
import { continuity } from "../../lab/counter.js";
import { DocumentedCommands, LISTEN, portOf, restOf, toPort } from "../../lab/documented.js";
import { labUnavailable } from "../../lab/require.js";
import { fuseMissing } from "../../support/fuse.js";

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
});
