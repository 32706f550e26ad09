import { join } from "node:path";
import type { MigrationReport } from "pageferry";
import type { Method } from "./move.js";
import { PageferryCommand } from "./pageferry-command.js";
import { migrateByQemu } from "./precopy.js";

/** Mode A: the memory travels through pageferry. */
export const engine: Method = {
  name: "pageferry A",
  extraArguments: [],
  async move({ source, destination, downtimeLimitMs, linkTo, link }) {
    const stopped = source.qmp.nextEvent("STOP", undefined, { timeoutMs: 600_000 });
    const resumed = destination.qmp.nextEvent("RESUME", undefined, { timeoutMs: 600_000 });
    const monitor = ["--qmp", destination.paths.monitor];
    const receiving = new PageferryCommand("receive", ...monitor, "--listen", "127.0.0.1:0", "--once", "--json");
    try {
      const to = `127.0.0.1:${await linkTo(await receiving.port())}`;
      const limit = ["--downtime-limit", String(downtimeLimitMs)];
      const migrating = new PageferryCommand("migrate", "--qmp", source.paths.monitor, "--to", to, ...limit, "--json");
      const report = await migrating.json<MigrationReport>();
      return {
        hasConverged: true,
        totalMs: report.totalTimeMs,
        downtimeMs: (await resumed).timeMs - (await stopped).timeMs,
        linkBytes: link()?.bytes ?? report.transferredBytes,
        rounds: report.dirtySyncCount,
        isEqual: report.verification.verified,
      };
    } finally {
      await receiving.end();
    }
  },
};

/** Mode B: QEMU migrates, pageferry carries its stream. */
export const relay: Method = {
  name: "pageferry B",
  extraArguments: ["-S"],
  async move(move) {
    const incoming = join(move.destination.paths.folder, "incoming");
    const outgoing = join(move.source.paths.folder, "outgoing");
    const receive = ["--listen", "127.0.0.1:0", "--machine", `lab=unix:${incoming}`, "--once", "--json"];
    const receiving = new PageferryCommand("relay-receive", ...receive);
    let sending: PageferryCommand | undefined;
    try {
      const to = `127.0.0.1:${await move.linkTo(await receiving.port())}`;
      sending = new PageferryCommand("relay-send", "--to", to, "--machine", `lab=unix:${outgoing}`, "--once", "--json");
      await sending.hasPrinted();
      const figures = await migrateByQemu(move, `unix:${incoming}`, `unix:${outgoing}`, []);
      if (!figures.hasConverged) return figures;
      const { sentBytes } = await sending.json<{ sentBytes: number }>();
      return { ...figures, linkBytes: move.link()?.bytes ?? sentBytes };
    } finally {
      await sending?.end();
      await receiving.end();
    }
  },
};
