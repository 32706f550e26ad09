import { connect, createServer, type Socket } from "node:net";
import { RelayError } from "./errors.js";

/** Where a QEMU on this machine is, or comes to: a TCP port, or a unix socket. */
export type QemuAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** QEMU's sockets end each direction for itself, and what is small must not wait. */
const SOCKET = { allowHalfOpen: true, noDelay: true };

/** A place where QEMUs connect. */
export interface QemuListener {
  /** With the port that was found where none was given. */
  readonly address: QemuAddress;
  /** Takes no more connections; those that there are stay. */
  close(): void;
}

/** Listens for QEMUs. Throws `argument`. */
export function listenForQemu(address: QemuAddress, onSocket: (socket: Socket) => void): Promise<QemuListener> {
  const server = createServer(SOCKET, onSocket);
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const message = `Cannot listen for QEMU at ${addressText(address)}: ${cause.code ?? cause.message}.`;
      reject(new RelayError("argument", message, { cause }));
    });
    server.listen(address, () => {
      // Later errors are of single connections that could not be accepted.
      server.on("error", () => {});
      const bound = server.address();
      const isPort = "port" in address && typeof bound === "object" && bound !== null;
      resolve({
        address: isPort ? { ...address, port: bound.port } : address,
        close: () => {
          server.close();
        },
      });
    });
  });
}

/** A socket that is being connected to a waiting QEMU; what is written meanwhile waits. */
export function connectToQemu(address: QemuAddress): Socket {
  return connect({ ...address, ...SOCKET });
}

/** Breaks a connection off so that QEMU does not take it for an orderly end, as far as its kind allows. */
export function resetSocket(socket: Socket): void {
  // A unix socket knows no reset, and a socket that is not connected yet has nothing to reset.
  if (socket.remoteFamily === undefined || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

/** An address for people. */
export function addressText(address: QemuAddress): string {
  return "path" in address ? `unix:${address.path}` : `${address.host}:${address.port}`;
}
