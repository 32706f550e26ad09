import type { QmpAddress } from "./address.js";
import { QmpError } from "./errors.js";
import type { GuardianOrder } from "./guardian.js";
import { runStateOf } from "./machine.js";
import { QmpClient } from "./qmp.js";

/** How long to try: QEMU may still be talking with the process that died. */
const TRY_MS = 10_000;
const RETRY_MS = 50;

/** The last order, once the other process has ended or has said that it is through. */
async function lastOrder(): Promise<GuardianOrder> {
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const piece of process.stdin) text += piece;
  return (text.trim().split("\n").at(-1) || "nothing") as GuardianOrder;
}

async function connect(address: QmpAddress): Promise<QmpClient> {
  for (const endMs = performance.now() + TRY_MS; ; ) {
    try {
      return await QmpClient.connect(address, { timeoutMs: 1000 });
    } catch (error) {
      if (!(error instanceof QmpError) || performance.now() > endMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function obey(order: GuardianOrder, address: QmpAddress): Promise<string | undefined> {
  if (order === "nothing") return undefined;
  if (order === "doubt") {
    return "The migration was ended while the machine was handed over: it stands still here, and may run at the destination.";
  }
  const qmp = await connect(address);
  try {
    if (order === "quit") {
      await qmp.execute("quit").catch(() => {});
      return "The process that took the machine was ended: so is the QEMU that it was for.";
    }
    if (!(await runStateOf(qmp)).isRunning) await qmp.execute("cont");
    return "The process that moved the machine was ended: the machine goes on here.";
  } finally {
    await qmp.close();
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});
try {
  const said = await obey(await lastOrder(), JSON.parse(process.argv[2] as string));
  if (said !== undefined) console.error(`pageferry: ${said}`);
} catch (error) {
  console.error(`pageferry: The machine could not be looked after: ${(error as Error).message}`);
  process.exitCode = 1;
}
