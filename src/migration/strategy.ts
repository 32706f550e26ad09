import type { Decision } from "./convergence.js";
import type { Strategy } from "./options.js";

/** What a strategy can have done, one after the other. */
export interface Steps {
  /** Whether the machine may run at the destination before its memory is there. */
  readonly isLazy: boolean;
  /** Whether the last round left less than any before it. */
  readonly isShrinking: boolean;
  /** Measures the link, and sends some pages, while the machine runs: what rounds do otherwise. */
  rehearse(): Promise<void>;
  /** Tells before a page is sent whether a pre-copy will come to an end within the limits. Throws where it will not, nothing else can be done, and it must. */
  predict(): Promise<boolean>;
  /** Sends what is dirty while the machine runs, and decides what comes next. */
  copyRound(): Promise<Decision>;
  /** Slows the machine down as far as was decided. */
  throttle(): Promise<void>;
  /** Pauses the machine and sends the rest and the state; the destination is ready to run it then. */
  copyRest(): Promise<void>;
  /** Pauses the machine and sends the state alone; the destination is ready to run it then, and waits for its memory. */
  copyState(): Promise<void>;
  /** Gives the machine away. */
  commit(): Promise<void>;
  /** Sends the memory behind the machine that was given away without it, until all of it is there. */
  serve(): Promise<void>;
  /** Ends the migration, with the reason that was decided on. */
  giveUp(decision: Pick<Decision, "reason">): never;
}

/** Strategies: in which order the steps come. */
export const STRATEGIES: Readonly<Record<Strategy, (steps: Steps) => Promise<void>>> = Object.freeze({
  precopy,
  "stop-and-copy": stopAndCopy,

  async postcopy(steps: Steps): Promise<void> {
    await steps.rehearse();
    await switchFirst(steps);
  },

  hybrid,

  async auto(steps: Steps): Promise<void> {
    const willConverge = await steps.predict();
    if (!steps.isLazy) return await precopy(steps);
    if (!willConverge) return await hybrid(steps);
    for (;;) {
      const { action } = await steps.copyRound();
      if (action === "switch") return await stopAndCopy(steps);
      // It was predicted otherwise: better than to slow the machine down, or to give up.
      if (action !== "continue") return await switchFirst(steps);
    }
  },
});

async function precopy(steps: Steps): Promise<void> {
  for (;;) {
    const decision = await steps.copyRound();
    if (decision.action === "switch") break;
    if (decision.action === "fail") steps.giveUp(decision);
    if (decision.action === "throttle") await steps.throttle();
  }
  await stopAndCopy(steps);
}

/** Rounds as long as they shrink: further ones would send again what the machine changes again. */
async function hybrid(steps: Steps): Promise<void> {
  while ((await steps.copyRound()).action === "continue" && steps.isShrinking);
  await switchFirst(steps);
}

async function stopAndCopy(steps: Steps): Promise<void> {
  await steps.copyRest();
  await steps.commit();
}

async function switchFirst(steps: Steps): Promise<void> {
  await steps.copyState();
  await steps.commit();
  await steps.serve();
}
