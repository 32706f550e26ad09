import { describe, expect, it } from "vitest";
import { continuity } from "../../lab/counter.js";
import { DocumentedCommands, LISTEN, portOf, restOf, toPort } from "../../lab/documented.js";
import { freePort } from "../../lab/port.js";
import { labUnavailable } from "../../lab/require.js";

const reason = await labUnavailable();

describe.skipIf(reason !== undefined)(`docs/qemu.md (${reason ?? "lab"})`, () => {
  it("takes a machine through each way", { timeout: 600_000 }, async ({ onTestFinished }) => {
    const document = await DocumentedCommands.of("docs/qemu.md");
    onTestFinished(() => document.end());
    expect(document.words("keys", {}).join(" ")).toBe("pageferry keygen alpha beta -o credentials");

    const first = await document.startMachine();
    await first.waitForReady();
    await first.countOn(3);

    const plan = await document.plan();
    const started = document.pageferry("receive-command", { ...LISTEN, "/dev/shm/db": plan.paths.ram }, restOf(plan));
    // Attached before it runs: what a machine prints while nobody listens is lost.
    const arriving = document.attach(plan);
    const migrated = document.pageferry("migrate", {
      ...toPort(await portOf(started)),
      "/run/db.qmp": first.paths.monitor,
    });
    expect((await migrated.done).status, (await migrated.done).stderr).toBe(0);
    const [, socket] = /Its QMP socket is (\S+)\./.exec((await started.done).stdout) as unknown as [string, string];
    const second = await arriving;
    await second.countOn(3);

    const third = await document.startMachine("-incoming", "defer");
    const waiting = document.pageferry("receive-qmp", { ...LISTEN, "/run/db.qmp": third.paths.monitor });
    const back = document.pageferry("migrate", { ...toPort(await portOf(waiting)), "/run/db.qmp": socket });
    expect((await back.done).status, (await back.done).stderr).toBe(0);
    expect((await waiting.done).status).toBe(0);
    await third.countOn(3);

    const [into, out] = [await freePort(), await freePort()];
    const fourth = await document.startMachine("-incoming", `tcp:127.0.0.1:${into}`);
    const relay = document.pageferry("relay-receive", { ...LISTEN, "127.0.0.1:5555": `127.0.0.1:${into}` });
    const sender = document.pageferry("relay-send", {
      ...toPort(await portOf(relay)),
      "127.0.0.1:4444": `127.0.0.1:${out}`,
    });
    await sender.waitFor(/\n/);
    const resumed = fourth.qmp.nextEvent("RESUME", undefined, { timeoutMs: 120_000 });
    const order = document.message("qmp", { "4444": String(out) });
    await third.qmp.execute(order.execute, order.arguments);
    await resumed;
    await fourth.countOn(3);

    // The last way is QEMU's own, which may lose pages where it emulates the processor: there the counter only has to go on.
    const printed = [first, second, third].map((machine) => machine.printed);
    expect(continuity(...printed).breaks).toEqual([]);
    expect(await fourth.verifyManifest()).toBe(true);
  });
});
