/** What runs in a worker of the file `pageferry/worker`; the page has a `MachineWorker` for it. */
import type { Order } from "./messages.js";
import { MachineServer } from "./server.js";

const server = new MachineServer((word, transfer) => self.postMessage(word, { transfer }));

self.addEventListener("message", ({ data }: MessageEvent<Order>) => {
  server.take(data);
});
self.addEventListener("error", (event) => {
  event.preventDefault();
  server.takeUncaught(event.error);
});
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  server.takeUncaught(event.reason);
});
