import { describe, expect, it } from "vitest";
import { type SourceState, SourceStates } from "../../src/migration/state.js";

/** The ways to each state, and every arrow of the protocol from there. */
const WAYS: Readonly<
  Record<SourceState, { readonly way: readonly SourceState[]; readonly next: readonly SourceState[] }>
> = {
  setup: { way: [], next: ["copying", "resumed"] },
  copying: { way: ["copying"], next: ["paused", "resumed"] },
  paused: { way: ["copying", "paused"], next: ["committing", "resumed"] },
  committing: { way: ["copying", "paused", "committing"], next: ["handed-over", "serving", "in-doubt", "resumed"] },
  "in-doubt": { way: ["copying", "paused", "committing", "in-doubt"], next: ["handed-over", "resumed"] },
  serving: { way: ["copying", "paused", "committing", "serving"], next: ["handed-over", "in-doubt", "lost"] },
  "handed-over": { way: ["copying", "paused", "committing", "handed-over"], next: [] },
  resumed: { way: ["resumed"], next: [] },
  lost: { way: ["copying", "paused", "committing", "serving", "lost"], next: [] },
};
const STATES = Object.keys(WAYS) as SourceState[];

describe.each(STATES)("a source that is %s", (from) => {
  const { way, next } = WAYS[from];
  const arrived = (): SourceStates => {
    const states = new SourceStates();
    for (const step of way) states.enter(step);
    expect(states.state).toBe(from);
    return states;
  };

  for (const to of STATES) {
    it(`${next.includes(to) ? "can go" : "cannot go"} to ${to}`, () => {
      const states = arrived();
      if (next.includes(to)) {
        states.enter(to);
        expect(states.state).toBe(to);
      } else {
        expect(() => states.enter(to)).toThrow(expect.objectContaining({ code: "protocol" }));
        expect(states.state).toBe(from);
      }
    });
  }
});
