import { expect, vi } from "vitest";
import type { Connection } from "../../src/transport/connection.js";
import { TransportError } from "../../src/transport/errors.js";
import { type ResumableConnectOptions, resumableConnect } from "../../src/transport/resumable.js";
import { ResumableAcceptor, type ResumableAcceptorOptions } from "../../src/transport/resumable-acceptor.js";
import type { ResumableState } from "../../src/transport/resumable-options.js";
import { TestLink } from "./links.js";

/** A TransportError with this code and words. */
export const coded = (code: string, words = ""): unknown =>
  expect.objectContaining({ name: "TransportError", code, message: expect.stringContaining(words) });
export const over: Error = new Error("the test is over");
export const refused: TransportError = new TransportError("connect-failed", "Nobody listens there.");

/** Two sides, every link between them, and what they said about it. */
export class Setting {
  readonly links: TestLink[] = [];
  readonly states: [side: string, state: ResumableState][] = [];
  readonly reasons: string[] = [];
  /** Why the sides ended; undefined where they were closed in order. */
  readonly ends: (Error | undefined)[] = [];
  left!: Connection;
  right!: Connection;
  acceptor: ResumableAcceptor;
  /** Makes the next link; throws where nobody is there. */
  makeLink: () => TestLink = () => new TestLink();

  constructor(acceptorOptions: ResumableAcceptorOptions = {}) {
    this.acceptor = new ResumableAcceptor(
      { onStateChange: (...change) => this.#note("right", ...change), ...acceptorOptions },
      (connection) => {
        this.right = connection;
      },
    );
  }

  async open(options: ResumableConnectOptions = {}): Promise<this> {
    this.left = await resumableConnect(this.dial, {
      onStateChange: (...change) => this.#note("left", ...change),
      ...options,
    });
    return this;
  }

  readonly dial = async (): Promise<Connection> => {
    const link = this.makeLink();
    this.links.push(link);
    this.acceptor.accept(link.there);
    return link.here;
  };

  get link(): TestLink {
    return this.links.at(-1) as TestLink;
  }

  #note(side: string, state: ResumableState, reason: Error | undefined, _connection: Connection): void {
    this.states.push([side, state]);
    if (state === "ended") this.ends.push(reason);
    if (reason !== undefined) this.reasons.push(reason.message);
  }
}

/** All that comes until the end. */
export async function readAll(connection: Connection): Promise<number[]> {
  const bytes: number[] = [];
  for (let chunk = await connection.receive(); chunk !== undefined; chunk = await connection.receive()) {
    bytes.push(...chunk);
  }
  return bytes;
}

/** The outcome of a promise under a clock that does not run by itself, for which it runs on as long as it has to. */
export async function inTime<T>(promise: Promise<T>): Promise<T> {
  const settled = watch(promise);
  for (let steps = 0; !settled() && steps < 10_000; steps++) await vi.advanceTimersByTimeAsync(20);
  expect(settled(), "has come to an end").toBe(true);
  return await promise;
}

/** Whether a promise is still waiting when everything that can happen at once has happened. */
export async function isWaiting(promise: Promise<unknown>): Promise<boolean> {
  const settled = watch(promise);
  await vi.advanceTimersByTimeAsync(5);
  return !settled();
}

function watch(promise: Promise<unknown>): () => boolean {
  let isSettled = false;
  const settle = (): void => {
    isSettled = true;
  };
  promise.then(settle, settle);
  return () => isSettled;
}
