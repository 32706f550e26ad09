import { GuestError } from "../errors.js";
import {
  decodeRequest,
  Errno,
  encodeAttributes,
  encodeHeader,
  encodeInit,
  encodeOpen,
  encodeSpace,
  type FileAttributes,
  type FuseRequest,
  isServable,
} from "./message.js";

/** Somebody waits for bytes of the file. To be answered or failed once, at any time and in any order. */
export interface FuseRead {
  readonly offset: number;
  /** Never past the file's end. */
  readonly byteLength: number;
  /** Gives the bytes, in pieces that follow each other: all of them. They are taken before this returns. Throws `argument`. */
  answer(...pieces: readonly Uint8Array[]): void;
  /** Says that they cannot be had, with an error number of Linux: whoever reads gets it, whoever has the file mapped gets a SIGBUS. */
  fail(errno: number): void;
}

/** What a session needs of the outside. */
export interface FuseSessionOptions {
  readonly attributes: FileAttributes;
  /** The most bytes of one read: whole pages of the kernel. */
  readonly maxReadBytes: number;
  /** How large these are. */
  readonly kernelPageBytes: number;
  /** Writes one answer, which begins with its header. */
  write(parts: readonly Uint8Array[]): void;
  onRead(read: FuseRead): void;
  /** Whether a thread has been killed, or has ended. */
  isDying(pid: number): boolean;
  /** What went wrong and was survived, as a sentence. */
  onNotice(sentence: string): void;
}

interface UnansweredRead {
  /** Of the thread that waits. */
  readonly pid: number;
  isAnswered: boolean;
}

/** How often it is looked whether somebody who got a signal has been killed. */
const LOOK_MS = 100;

/** The kernel's talk about one file: takes its requests, writes the answers. Nothing that comes makes it throw. */
export class FuseSession {
  /** The kernel has agreed on the protocol. Rejects with `lazy-unavailable` where it is too old. */
  readonly ready: Promise<void>;
  /** It was opened, and the last one who had it open has closed it; or {@link end} was called. */
  readonly released: Promise<void>;
  /** Called whenever the last one who had it open has closed it. */
  onClose: () => void = () => {};
  readonly #options: FuseSessionOptions;
  #becomeReady: (error?: GuestError) => void = () => {};
  #release: () => void = () => {};
  #openCount = 0;
  readonly #reads = new Map<bigint, UnansweredRead>();
  /** Unanswered reads of those who have been sent a signal. */
  readonly #interrupted = new Set<bigint>();
  #looking: NodeJS.Timeout | undefined;

  constructor(options: FuseSessionOptions) {
    this.#options = options;
    this.ready = new Promise((resolve, reject) => {
      this.#becomeReady = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.ready.catch(() => {});
    this.released = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  /** Takes one request, whose bytes are not needed any more when this returns. */
  take(bytes: Uint8Array): void {
    const request = decodeRequest(bytes);
    if (request !== undefined) this.#handle(request);
  }

  get isOpen(): boolean {
    return this.#openCount > 0;
  }

  /** No more requests will come. */
  end(): void {
    this.#openCount = 0;
    clearInterval(this.#looking);
    this.#becomeReady(new GuestError("lazy-unavailable", "The FUSE mount was taken away before it was ready."));
    this.#release();
    this.onClose();
  }

  #handle(request: FuseRequest): void {
    const { attributes } = this.#options;
    const { unique } = request;
    switch (request.kind) {
      case "read":
        this.#read(request);
        break;
      case "interrupt":
        this.#interrupt(request.other);
        break;
      case "open":
        this.#openCount += 1;
        this.#answer(unique, encodeOpen());
        break;
      case "release":
        this.#answer(unique);
        this.#openCount -= 1;
        if (this.#openCount > 0) break;
        this.#release();
        this.onClose();
        break;
      case "attributes":
        this.#answer(unique, encodeAttributes(attributes));
        break;
      case "change":
        // Whoever maps a file may set its length first, also to what it is.
        if (request.byteLength === attributes.byteLength) this.#answer(unique, encodeAttributes(attributes));
        else this.#fail(unique, Errno.EROFS);
        break;
      case "space":
        this.#answer(unique, encodeSpace(attributes.byteLength));
        break;
      case "init":
        this.#init(request);
        break;
      case "nothing":
        this.#answer(unique);
        break;
      case "write":
        this.#fail(unique, Errno.EROFS);
        break;
      case "malformed":
        this.#fail(unique, Errno.EINVAL);
        break;
      case "unknown":
        this.#fail(unique, Errno.ENOSYS);
        break;
      case "silent":
    }
  }

  #init({ unique, major, minor, readAheadBytes }: Extract<FuseRequest, { kind: "init" }>): void {
    if (!isServable(major, minor)) {
      this.#fail(unique, Errno.EPROTO);
      const message = `This Linux is too old to serve memory to: its FUSE has protocol ${major}.${minor}; it takes Linux 4.20.`;
      this.#becomeReady(new GuestError("lazy-unavailable", message));
      return;
    }
    const { maxReadBytes, kernelPageBytes } = this.#options;
    const maxPages = maxReadBytes / kernelPageBytes;
    this.#answer(unique, encodeInit(minor, Math.min(readAheadBytes, maxReadBytes), maxPages));
    this.#becomeReady();
  }

  #read({ unique, offset, byteLength: wanted, pid }: Extract<FuseRequest, { kind: "read" }>): void {
    const byteLength = Math.min(wanted, this.#options.attributes.byteLength - offset);
    if (byteLength <= 0) {
      this.#answer(unique);
      return;
    }
    const unanswered: UnansweredRead = { pid, isAnswered: false };
    this.#reads.set(unique, unanswered);
    /** False where nobody waits any more. */
    const once = (): boolean => {
      if (unanswered.isAnswered) throw new GuestError("argument", "A read is answered once.");
      unanswered.isAnswered = true;
      this.#interrupted.delete(unique);
      return this.#reads.delete(unique);
    };
    const read: FuseRead = {
      offset,
      byteLength,
      answer: (...pieces) => {
        const there = pieces.reduce((sum, { length }) => sum + length, 0);
        // A shorter answer would be taken for the file's end, and filled with zeros.
        if (there !== byteLength) {
          throw new GuestError(
            "argument",
            `A read of ${byteLength} bytes is answered with so many, not with ${there}.`,
          );
        }
        if (once()) this.#answer(unique, ...pieces);
      },
      fail: (errno) => {
        if (once()) this.#fail(unique, errno);
      },
    };
    try {
      this.#options.onRead(read);
    } catch (error) {
      this.#options.onNotice(`A read at byte ${offset} failed: ${(error as Error).message}`);
      if (!unanswered.isAnswered) read.fail(Errno.EIO);
    }
  }

  /**
   * A thread that has been killed cannot end before its read has been answered. Others wait on: what they touched would be an error for them. The kernel tells of
   * the first signal only.
   */
  #interrupt(unique: bigint): void {
    if (!this.#reads.has(unique)) return;
    this.#interrupted.add(unique);
    this.#looking ??= setInterval(() => this.#letDyingGo(), LOOK_MS).unref();
    this.#letDyingGo();
  }

  #letDyingGo(): void {
    for (const unique of this.#interrupted) {
      const pid = this.#reads.get(unique)?.pid;
      if (pid === undefined || !this.#options.isDying(pid)) continue;
      this.#reads.delete(unique);
      this.#interrupted.delete(unique);
      this.#fail(unique, Errno.EINTR);
    }
    if (this.#interrupted.size > 0) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  #answer(unique: bigint, ...body: readonly Uint8Array[]): void {
    const bodyBytes = body.reduce((sum, { length }) => sum + length, 0);
    this.#options.write([encodeHeader(unique, bodyBytes), ...body]);
  }

  #fail(unique: bigint, errno: number): void {
    this.#options.write([encodeHeader(unique, 0, errno)]);
  }
}
