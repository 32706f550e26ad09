import { open } from "node:fs/promises";
import type { LabMachine } from "./machine.js";

const WINDOW_BYTES = 4 << 20;

/** Whether the RAM files of two machines hold the same. Both are to stand still. */
export async function isSameRam(left: LabMachine, right: LabMachine): Promise<boolean> {
  const files = [await open(left.ramPath), await open(right.ramPath)] as const;
  try {
    const [here, there] = [Buffer.alloc(WINDOW_BYTES), Buffer.alloc(WINDOW_BYTES)];
    const { size } = await files[0].stat();
    for (let position = 0; position < size; position += WINDOW_BYTES) {
      await files[0].read(here, 0, WINDOW_BYTES, position);
      await files[1].read(there, 0, WINDOW_BYTES, position);
      if (!here.equals(there)) return false;
    }
    return true;
  } finally {
    for (const file of files) await file.close();
  }
}
