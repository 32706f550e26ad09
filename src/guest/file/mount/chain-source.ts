import { Worker } from "node:worker_threads";
import { GuestError } from "../../errors.js";
import { Errno } from "../../fuse/message.js";
import type { FuseRead } from "../../fuse/session.js";
import { ImageFile } from "../image.js";
import { LEAF_BYTES } from "../source.js";
import type { ChainThreadData, ChainThreadMessage, DecodeOrder } from "./chain-messages.js";
import { PageState } from "./page-states.js";
import type { MountSource } from "./source.js";
import { SpillFile } from "./spill.js";

/** What is known when the chain has been opened. */
interface OpenedChain {
  readonly base: ImageFile;
  readonly pageBytes: number;
  readonly states: Uint8Array;
  readonly spill: SpillFile;
}

/**
 * A base image with patches. A thread of its own checks and decodes; here pages are only copied from where that thread says they are: from the base, or
 * from the file of decoded pages.
 */
export class ChainSource implements MountSource {
  readonly byteLength: Promise<number>;
  readonly settled: Promise<void>;
  readonly #data: ChainThreadData;
  readonly #expectedBytes: number | undefined;
  readonly #onNotice: (sentence: string) => void;
  readonly #thread: Worker;
  readonly #buffer: Uint8Array;
  #chain: OpenedChain | undefined;
  #failure: Error | undefined;
  /** Reads that came before the chain was open. */
  readonly #early: FuseRead[] = [];
  readonly #ordered = new Map<number, FuseRead>();
  #orders = 0;
  #open: (byteLength: number) => void = () => {};
  #settle: () => void = () => {};
  readonly #refusals: ((error: Error) => void)[] = [];

  /** For reads of at most `maxReadBytes` bytes, of an image that is to have `expectedBytes` bytes where that is known. */
  constructor(
    data: ChainThreadData,
    expectedBytes: number | undefined,
    maxReadBytes: number,
    onNotice: (sentence: string) => void,
  ) {
    this.#data = data;
    this.#expectedBytes = expectedBytes;
    this.#onNotice = onNotice;
    this.#buffer = new Uint8Array(maxReadBytes);
    this.byteLength = new Promise((resolve, reject) => {
      this.#open = resolve;
      this.#refusals.push(reject);
    });
    this.settled = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#refusals.push(reject);
    });
    // Whoever waits for neither hears of it by the reads.
    this.byteLength.catch(() => {});
    this.settled.catch(() => {});
    this.#thread = new Worker(new URL("chain-thread.js", import.meta.url), { workerData: data });
    this.#thread.on("message", (message: ChainThreadMessage) => this.#hear(message));
    this.#thread.on("error", (error) => this.#end(error));
  }

  read(read: FuseRead): void {
    if (this.#failure !== undefined) read.fail(Errno.EIO);
    else if (this.#chain === undefined) this.#early.push(read);
    else if (this.#isKnown(read, this.#chain)) this.#answer(read, this.#chain);
    else this.#order(read);
  }

  async close(): Promise<void> {
    this.#end(new GuestError("image", "The file was unmounted."));
    await this.#thread.terminate();
    this.#chain?.base.close();
  }

  #hear(message: ChainThreadMessage): void {
    switch (message.kind) {
      case "opened":
        this.#begin(message);
        break;
      case "decoded": {
        const read = this.#ordered.get(message.order);
        this.#ordered.delete(message.order);
        if (read !== undefined && this.#chain !== undefined) this.#answer(read, this.#chain);
        break;
      }
      case "notice":
        this.#onNotice(message.sentence);
        break;
      case "settled":
        this.#settle();
        break;
      case "failed":
        this.#end(new GuestError(message.code, message.message));
    }
  }

  #begin({
    byteLength,
    pageBytes,
    states,
    spillDescriptor,
    baseIdentity,
  }: Extract<ChainThreadMessage, { kind: "opened" }>): void {
    try {
      const { basePath } = this.#data;
      const base = ImageFile.open(basePath);
      this.#chain = { base, pageBytes, states, spill: new SpillFile(spillDescriptor) };
      if (base.identity !== baseIdentity || (this.#expectedBytes ?? byteLength) !== byteLength) {
        throw new GuestError("image", `${basePath} or a patch was changed while it was mounted; start again.`);
      }
    } catch (error) {
      this.#end(error as Error);
      return;
    }
    // From here on the mount holds the process, as long as there is one.
    this.#thread.unref();
    this.#open(byteLength);
    for (const read of this.#early.splice(0)) this.read(read);
  }

  /** From now on nothing can be read. */
  #end(error: Error): void {
    this.#failure ??= error;
    for (const refuse of this.#refusals) refuse(error);
    for (const read of [...this.#early.splice(0), ...this.#ordered.values()]) read.fail(Errno.EIO);
    this.#ordered.clear();
  }

  #isKnown({ offset, byteLength }: FuseRead, { pageBytes, states }: OpenedChain): boolean {
    const end = Math.ceil((offset + byteLength) / pageBytes);
    for (let page = Math.floor(offset / pageBytes); page < end; page++) {
      if (Atomics.load(states, page) === PageState.unknown) return false;
    }
    return true;
  }

  #order(read: FuseRead): void {
    const order = ++this.#orders;
    const firstLeaf = Math.floor(read.offset / LEAF_BYTES);
    const leafCount = Math.ceil((read.offset + read.byteLength) / LEAF_BYTES) - firstLeaf;
    this.#ordered.set(order, read);
    this.#thread.postMessage({ order, firstLeaf, leafCount } satisfies DecodeOrder);
  }

  #answer(read: FuseRead, chain: OpenedChain): void {
    const bytes = this.#buffer.subarray(0, read.byteLength);
    let isGiven = false;
    try {
      isGiven = copyPages(read.offset, bytes, chain);
    } catch (error) {
      this.#onNotice(`${read.byteLength} bytes from ${read.offset} on cannot be read: ${(error as Error).message}`);
    }
    if (isGiven) read.answer(bytes);
    else read.fail(Errno.EIO);
  }
}

/** Whether all of the pages can be had. Throws `image`. */
function copyPages(offset: number, into: Uint8Array, { base, pageBytes, states, spill }: OpenedChain): boolean {
  let isFromBase = false;
  for (let at = 0, end = 0; at < into.length; at = end) {
    const page = Math.floor((offset + at) / pageBytes);
    const state = states[page];
    let next = page + 1;
    for (; states[next] === state && next * pageBytes < offset + into.length; ) next += 1;
    end = Math.min(into.length, next * pageBytes - offset);
    const part = into.subarray(at, end);
    if (state === PageState.failed) return false;
    if (state === PageState.decoded) {
      spill.read(offset + at, part);
    } else {
      base.read(offset + at, part);
      isFromBase = true;
    }
  }
  if (isFromBase) base.checkUnchanged();
  return true;
}
