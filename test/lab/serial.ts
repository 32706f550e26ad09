import { connect, type Socket } from "node:net";
import { poll } from "./wait.js";

/** A serial port of a machine: all that it printed, from the moment it was connected. */
export class SerialPort {
  readonly #socket: Socket;
  readonly #lookers = new Set<() => void>();
  #text = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => {
      this.#text += text;
      for (const look of this.#lookers) look();
    });
    // A machine that ends is noticed by its process.
    socket.on("error", () => {});
  }

  /** Connects to the socket at `path`, once it is there. Rejects with the signal's reason where it is not before. */
  static async open(path: string, signal: AbortSignal): Promise<SerialPort> {
    const tryOnce = (): Promise<Socket | undefined> =>
      new Promise((resolve) => {
        const socket = connect(path);
        socket.once("error", () => resolve(undefined));
        socket.once("connect", () => resolve(socket));
      });
    return new SerialPort(await poll(tryOnce, signal));
  }

  /** All that has been printed. */
  get text(): string {
    return this.#text;
  }

  writeLine(line: string): void {
    this.#socket.write(`${line}\n`);
  }

  /** Waits until what has been printed from the character `start` on matches. Rejects with the signal's reason where it does not before. */
  waitFor(pattern: RegExp, start: number, signal: AbortSignal): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        this.#lookers.delete(look);
        reject(signal.reason);
      };
      const look = (): void => {
        const match = pattern.exec(this.#text.slice(start));
        if (match === null) return;
        this.#lookers.delete(look);
        signal.removeEventListener("abort", stop);
        resolve(match);
      };
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      signal.addEventListener("abort", stop, { once: true });
      this.#lookers.add(look);
      look();
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
