import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { playwright } from "@vitest/browser-playwright";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { chromiumArguments, chromiumPath } from "./test/support/chromium.js";

/** Tests that start processes, machines or browsers, or go through every fault: they take their time. */
const SYSTEM = [
  "test/browser.test.ts",
  "test/bundlers.test.ts",
  "test/cli/**",
  "test/docs.test.ts",
  "test/guest/file/**",
  "test/guest/fuse/file.test.ts",
  "test/guest/lazy/ram.test.ts",
  "test/guest/qemu/scan-threads.test.ts",
  "test/guest/snapshot/opfs.test.ts",
  "test/guest/v86/linux.test.ts",
  "test/migration/faults.test.ts",
  "test/migration/handover.test.ts",
  "test/migration/hostile-peer.test.ts",
  "test/migration/kill.test.ts",
  "test/migration/large.test.ts",
  "test/migration/memory.test.ts",
  "test/package.test.ts",
  "test/relay/relay.test.ts",
  "test/transport/browser-transports.test.ts",
  "test/transport/conformance.test.ts",
  "test/transport/resumable-migration.test.ts",
  "test/transport/tls.test.ts",
  "test/web/elsewhere.test.ts",
  "test/web/faults.test.ts",
  "test/web/node.test.ts",
  "test/web/page.test.ts",
  "test/web/snapshots.test.ts",
  "test/web/unfit.test.ts",
  "test/worker/machine-worker.test.ts",
];
const HOSTILE = ["test/hostile/**"];

/** Real machines of QEMU: behind the others. */
const MACHINES = [
  "test/cli/qemu/**",
  "test/guest/qemu/lazy-live.test.ts",
  "test/guest/qemu/live.test.ts",
  "test/guest/qemu/machines.test.ts",
  "test/guest/qemu/postcopy-docs.test.ts",
  "test/guest/qemu/postcopy.test.ts",
];
/** These measure how fast machines are, or have QEMU itself copy their memory, which goes wrong on a busy processor: one after another. */
const MACHINES_ALONE = ["test/guest/qemu/docs.test.ts", "test/lab/**", "test/relay/live.test.ts"];

const testFiles = (paths: readonly string[]): string[] => paths.map((path) => path.replace("/**", "/**/*.test.ts"));
/** Most tests wait more than they compute, for a browser or another process. */
const MAX_WORKERS = Math.max(2, availableParallelism() - 1);

/** The floors that see every byte, again in a browser. */
const BROWSER = ["test/kernel/**/*.test.ts", "test/page/**/*.test.ts", "test/wire/**/*.test.ts"];

if (chromiumPath === undefined) console.warn("Without the tests of the project browser: Chromium is not installed.");

const browserProject: TestProjectConfiguration = {
  // Found by the first test that imports them, they would make the page load anew in the middle of a run.
  optimizeDeps: { include: ["@hpcc-js/wasm-zstd", "fast-check", "hash-wasm", "valibot", "xxhash-wasm"] },
  test: {
    name: "browser",
    include: BROWSER,
    testTimeout: 60_000,
    maxWorkers: MAX_WORKERS,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      commands: {
        readMachineCode: () =>
          readFileSync(process.execPath)
            .subarray(4 << 20, 5 << 20)
            .toString("base64"),
      },
      provider: playwright({
        launchOptions: { executablePath: chromiumPath ?? "", args: [...chromiumArguments] },
      }),
      instances: [{ browser: "chromium" }],
    },
  },
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: [...SYSTEM, ...HOSTILE, ...MACHINES, ...MACHINES_ALONE],
          testTimeout: 30_000,
          maxWorkers: MAX_WORKERS,
        },
      },
      {
        test: {
          name: "system",
          include: testFiles(SYSTEM),
          exclude: testFiles([...MACHINES, ...MACHINES_ALONE]),
          testTimeout: 120_000,
          maxWorkers: MAX_WORKERS,
        },
      },
      {
        test: {
          name: "machines",
          include: testFiles(MACHINES),
          testTimeout: 120_000,
          maxWorkers: MAX_WORKERS,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "machines-alone",
          include: testFiles(MACHINES_ALONE),
          testTimeout: 120_000,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
      { test: { name: "hostile", include: testFiles(HOSTILE), testTimeout: 120_000, maxWorkers: MAX_WORKERS } },
      ...(chromiumPath === undefined ? [] : [browserProject]),
    ],
  },
});
