import type { Decision } from "./convergence.js";
import type { Strategy } from "./options.js";

/** What a strategy can have done, one after the other. */
export interface Steps {
  /** Sends what is dirty while the machine runs, and decides what comes next. */
  copyRound(): Promise<Decision>;
  /** Slows the machine down as far as was decided. */
  throttle(): Promise<void>;
  /** Pauses the machine and sends the rest and the state; the destination is ready to run it then. */
  copyRest(): Promise<void>;
  /** Gives the machine away. */
  commit(): Promise<void>;
  /** Ends the migration, with the reason that was decided on. */
  giveUp(decision: Decision): never;
}

/** Strategies: in which order the steps come. Post-copy would commit before the rest is copied. */
export const STRATEGIES: Readonly<Record<Strategy, (steps: Steps) => Promise<void>>> = Object.freeze({
  async precopy(steps: Steps): Promise<void> {
    for (;;) {
      const decision = await steps.copyRound();
      if (decision.action === "switch") break;
      if (decision.action === "fail") steps.giveUp(decision);
      if (decision.action === "throttle") await steps.throttle();
    }
    await steps.copyRest();
    await steps.commit();
  },

  async "stop-and-copy"(steps: Steps): Promise<void> {
    await steps.copyRest();
    await steps.commit();
  },
});
