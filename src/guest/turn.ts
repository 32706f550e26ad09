/** Resolves in a later turn of the event loop, as soon as there is one: others, such as an emulator on this thread, get their turn before. */
export function nextTurn(): Promise<void> {
  if (typeof setImmediate === "function") return new Promise((resolve) => setImmediate(resolve));
  return new Promise((resolve) => {
    // Browsers delay nested timers by 4 ms; messages they do not delay.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
