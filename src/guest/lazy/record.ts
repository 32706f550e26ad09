/**
 * What the process that receives a machine and the one that serves its memory tell each other: records over a socket, all integers little-endian.
 *
 *     0  u32 kind   4  u32 file   8  u32 first page   12  u32 number of pages
 *
 * Pages are numbered in their file. What a kind does not need is 0; of `waited` the pages are the microseconds that a touch waited, and behind `trouble` follow
 * so many bytes of UTF-8.
 */
export const RecordKind = {
  /** To the server: pages are in the file, for good. */
  arrived: 1,
  /** To the server: the machine is about to run. From now on the server lives as long as the machine. */
  committed: 2,
  /** To the server: a question, answered by the same record when everything before has been dealt with. */
  settle: 3,
  /** To the receiver: everything is mounted. */
  ready: 16,
  /** To the receiver: pages are missing that were touched. */
  fault: 17,
  /** To the receiver: a touch had to wait. */
  waited: 18,
  /** To the receiver: a sentence; where it is not ready yet, why it never will be. */
  trouble: 19,
} as const;

export interface LazyRecord {
  readonly kind: number;
  readonly file: number;
  readonly firstPage: number;
  readonly pageCount: number;
  /** Of `trouble`. */
  readonly text?: string;
}

const RECORD_BYTES = 16;
const MAX_TEXT_BYTES = 4096;

/** A record as it is sent. */
export function encodeRecord(kind: number, file = 0, firstPage = 0, pageCount = 0): Buffer {
  const bytes = Buffer.allocUnsafe(RECORD_BYTES);
  bytes.writeUInt32LE(kind, 0);
  bytes.writeUInt32LE(file, 4);
  bytes.writeUInt32LE(firstPage, 8);
  bytes.writeUInt32LE(pageCount, 12);
  return bytes;
}

/** A sentence as it is sent. */
export function encodeTrouble(text: string): Buffer {
  const bytes = Buffer.from(text).subarray(0, MAX_TEXT_BYTES);
  return Buffer.concat([encodeRecord(RecordKind.trouble, 0, 0, bytes.length), bytes]);
}

/** Puts records together from the chunks that come. */
export class RecordParser {
  #rest: Buffer = Buffer.alloc(0);

  /** The records that are whole now. */
  *push(chunk: Buffer): Generator<LazyRecord> {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (bytes.length - at >= RECORD_BYTES) {
      const kind = bytes.readUInt32LE(at);
      const [file, firstPage, pageCount] = [4, 8, 12].map((place) => bytes.readUInt32LE(at + place)) as [
        number,
        number,
        number,
      ];
      const end = at + RECORD_BYTES + (kind === RecordKind.trouble ? pageCount : 0);
      if (bytes.length < end) break;
      const record = { kind, file, firstPage, pageCount };
      if (kind !== RecordKind.trouble) yield record;
      else yield { ...record, text: bytes.toString("utf8", at + RECORD_BYTES, end) };
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }
}
