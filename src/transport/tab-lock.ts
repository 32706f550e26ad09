/** A lock let go in order is kept for so long, in ms: nothing orders it behind the last messages, and who waits for it takes it for a crash. */
const LINGER_MS = 1000;

/** Holds a lock for as long as this tab or worker lives, or until the function is called. Does nothing where there are no Web Locks. */
export function holdLock(name: string): Promise<() => void> {
  const locks = webLocks();
  if (locks === undefined) return Promise.resolve(() => {});
  return new Promise((resolve, reject) => {
    const held = locks.request(name, () => {
      return new Promise<void>((release) => resolve(() => void setTimeout(release, LINGER_MS)));
    });
    held.catch(reject);
  });
}

/** Calls when nobody holds the lock (any more), unless the signal is aborted before. */
export function whenLockIsFree(name: string, signal: AbortSignal, onFree: () => void): void {
  webLocks()
    ?.request(name, { mode: "shared", signal }, onFree)
    // The signal was aborted.
    .catch(() => {});
}

/** Undefined in runtimes and pages (of insecure origins) without. */
function webLocks(): LockManager | undefined {
  return globalThis.navigator?.locks;
}
