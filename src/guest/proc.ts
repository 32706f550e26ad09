import { readdirSync, readFileSync } from "node:fs";

/** Pages as /proc/PID/pagemap counts them, and the bytes of one's entry there. Layout: `Documentation/admin-guide/mm/pagemap.rst` of Linux. */
export const HOST_PAGE_BYTES = 4096;
export const PAGEMAP_ENTRY_BYTES = 8;
/** Of the entry's last byte: the page is in memory, and mapped by the process. */
export const PAGEMAP_PRESENT = 0x80;

/** The numbers of all processes; none where that is not told. */
export function processes(): number[] {
  try {
    return readdirSync("/proc").map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** A file of /proc as text; empty where it may not be read, or the process is gone. */
export function procText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
