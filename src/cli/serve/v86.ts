import { bootedGuest } from "../../guest/v86/image.js";
import { installedV86 } from "../../guest/v86/node.js";
import type { MachineOutput, PresentMachine } from "../../worker/machine.js";
import { startV86 } from "../../worker/v86.js";

/** Nobody watches the consoles of machines here; what they print comes along when they leave. */
export const UNWATCHED: MachineOutput = Object.freeze({ print() {}, printPast() {}, answer() {} });

/** Starts the demo's Linux; the first time it is fetched and booted. Throws what `bootedGuest` throws. */
export async function startLinux(name: string, onProgress: (line: string) => void): Promise<PresentMachine> {
  const { state, shape, consoleText } = await bootedGuest({ onProgress });
  return await startV86(await installedV86(), { kind: "v86", name, state, consoleText, ...shape }, UNWATCHED);
}
