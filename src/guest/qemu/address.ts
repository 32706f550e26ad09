import { connect, type Socket } from "node:net";
import { QmpError } from "./errors.js";

/** Where a QEMU was told to offer QMP: the path of a unix socket, or a TCP port. */
export type QmpAddress = string | { readonly host: string; readonly port: number };

/** How long to wait. */
export interface QmpTimeout {
  /** From 1 to 2^31 - 1. */
  readonly timeoutMs?: number;
}

const MAX_TIMEOUT_MS: number = 2 ** 31 - 1;
/** What fits `sockaddr_un`; longer paths are cut off without a word. */
const MAX_SOCKET_PATH_BYTES = 107;

/** A socket that is connected to there. Throws `argument`, `connect-failed`. */
export function openQmpSocket(address: QmpAddress, timeoutMs: number): Promise<Socket> {
  const where = typeof address === "string" ? address : `${address.host} port ${address.port}`;
  if (typeof address === "string") {
    const bytes = Buffer.byteLength(address);
    if (bytes === 0 || bytes > MAX_SOCKET_PATH_BYTES) {
      throw new QmpError(
        "argument",
        `The path of a unix socket has 1 to ${MAX_SOCKET_PATH_BYTES} bytes, not ${bytes}.`,
      );
    }
  } else if (address.host === "" || !(Number.isInteger(address.port) && address.port >= 1 && address.port <= 65535)) {
    throw new QmpError("argument", `QMP needs a host and a port from 1 to 65535, not ${where}.`);
  }
  return new Promise((resolve, reject) => {
    const socket = typeof address === "string" ? connect(address) : connect({ ...address, noDelay: true });
    const fail = (cause?: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      socket.destroy();
      const why = cause === undefined ? `no answer within ${Math.round(timeoutMs)} ms` : (cause.code ?? cause.message);
      const advice = "Does QEMU run there, with -qmp and this address?";
      reject(new QmpError("connect-failed", `Cannot connect to QEMU at ${where}: ${why}. ${advice}`, { cause }));
    };
    const timer = setTimeout(fail, timeoutMs);
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", fail);
      resolve(socket);
    });
  });
}

/** Throws `argument` unless timers can wait so long. */
export function checkTimeout(timeoutMs: number): void {
  if (!(timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw new QmpError("argument", `timeoutMs must be a number from 1 to ${MAX_TIMEOUT_MS}, not ${timeoutMs}.`);
  }
}
