import { describe, expect, it } from "vitest";
import { LoggingMemoryGuest, MemoryGuest } from "../../src/guest/memory/guest.js";
import { MemoryHost } from "../../src/guest/memory/host.js";
import { Destination } from "../../src/migration/destination.js";
import { migrate } from "../../src/migration/migrate.js";
import { connectionPair } from "../../src/transport/pair.js";

const MIB = 1 << 20;

describe("a memory guest moves while it runs", () => {
  for (const Guest of [MemoryGuest, LoggingMemoryGuest]) {
    for (const strategy of ["precopy", "stop-and-copy"] as const) {
      for (const compression of ["none", "lz4", "zstd", "auto"] as const) {
        it(`${Guest.name}, ${strategy}, ${compression}`, async () => {
          const guest = new Guest({ memoryBytes: 16 * MIB, pagesPerSecond: 20_000 });
          const [here, there] = connectionPair();
          const host = new MemoryHost();
          const destination = new Destination({ host: () => host, authorise: () => true, memoryLimitBytes: 16 * MIB });
          const [report, arrival] = await Promise.all([
            migrate(guest, here, { strategy, compression }).report,
            destination.receive(there),
          ]);
          expect(report.outcome).toBe("completed");
          expect(arrival?.digest).toBe(report.verification.digest);
          expect(guest.content.isRunning).toBe(false);
          expect(host.content?.isRunning).toBe(true);
          expect(host.content?.steps).toBeGreaterThanOrEqual(guest.content.steps);
          expect(host.content?.wrongPages()).toEqual([]);
          host.content?.stop();
        });
      }
    }
  }
});
