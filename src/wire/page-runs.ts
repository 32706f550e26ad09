import { WireError } from "./errors.js";

/*
 * Pages that follow each other, as `wanted` and `clean` frames list them; both numbers are little-endian:
 *
 *     0  u32  first page
 *     4  u32  pages, at least one
 */
const RUN_BYTES = 8;
/** Small enough not to stand in the way of a page that somebody waits for. */
export const PAGE_RUNS_MAX_BYTES: number = RUN_BYTES << 9;

/** Pages that follow each other. */
export interface PageRun {
  readonly firstPage: number;
  readonly pageCount: number;
}

/** The bodies of as many frames as the runs need. */
export function encodePageRuns(runs: readonly PageRun[]): Uint8Array[] {
  const bodies: Uint8Array[] = [];
  const most = PAGE_RUNS_MAX_BYTES / RUN_BYTES;
  for (let at = 0; at < runs.length; at += most) {
    const part = runs.slice(at, at + most);
    const view = new DataView(new ArrayBuffer(part.length * RUN_BYTES));
    part.forEach(({ firstPage, pageCount }, index) => {
      view.setUint32(index * RUN_BYTES, firstPage, true);
      view.setUint32(index * RUN_BYTES + 4, pageCount, true);
    });
    bodies.push(new Uint8Array(view.buffer));
  }
  return bodies;
}

/** Throws `message-malformed`, also where a run leaves a machine of so many pages. */
export function decodePageRuns(body: Uint8Array, machinePages: number): PageRun[] {
  if (body.length === 0 || body.length % RUN_BYTES !== 0) throw malformed("does not consist of whole runs");
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const runs: PageRun[] = [];
  for (let at = 0; at < body.length; at += RUN_BYTES) {
    const firstPage = view.getUint32(at, true);
    const pageCount = view.getUint32(at + 4, true);
    if (pageCount === 0 || firstPage + pageCount > machinePages) throw malformed("has pages that the machine has not");
    runs.push({ firstPage, pageCount });
  }
  return runs;
}

function malformed(what: string): WireError {
  return new WireError("message-malformed", `A list of pages ${what}.`);
}
