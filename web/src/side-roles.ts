import type { Situation } from "./mover.js";
import type { Where } from "./settings.js";
import type { Side } from "./side.js";

/** What a side of the page stands for just now. */
export interface Role {
  readonly isSource: boolean;
  /** Where it is, in words. */
  readonly place: string;
  /** What stands on it as long as there is no machine. */
  readonly emptyText: string;
  /** Whether a machine from elsewhere can be waited for on it. */
  readonly canWait: boolean;
  /** It stands for a place that is not on this page. */
  readonly isElsewhere: boolean;
}

const ELSEWHERE: Readonly<Record<Exclude<Where, "here">, string>> = {
  tab: "another tab",
  computer: "another computer",
  node: "Node",
};

/** What `side` stands for; the machine starts on `left`. */
export function roleOf(situation: Situation, side: Side, left: Side, where: Where): Role {
  const here = `this page, ${side.place}`;
  const elsewhere = where === "here" ? undefined : ELSEWHERE[where];
  switch (situation.is) {
    case "here":
    case "moving": {
      const isSource = side === (situation.is === "here" ? situation.on : situation.from);
      if (isSource || elsewhere === undefined) {
        const emptyText = isSource
          ? "It has no screen: it is memory that keeps changing."
          : "The machine will appear here.";
        return { isSource, place: here, emptyText, canWait: false, isElsewhere: false };
      }
      const emptyText = `The machine will appear in ${elsewhere}.`;
      return { isSource, place: elsewhere, emptyText, canWait: false, isElsewhere: true };
    }
    case "gone": {
      const isThere = side !== situation.from;
      const place = isThere ? ELSEWHERE[situation.to] : here;
      const emptyText = isThere ? `The machine runs in ${place}.` : "It was here. It can come back.";
      return { isSource: isThere, place, emptyText, canWait: !isThere, isElsewhere: isThere };
    }
    case "awaiting": {
      const isSource = side !== situation.on;
      const emptyText = isSource ? "The machine comes from elsewhere." : "The machine will appear here.";
      return { isSource, place: isSource ? "elsewhere" : here, emptyText, canWait: false, isElsewhere: isSource };
    }
    case "both":
    case "starting":
    case "empty": {
      const isSource = side === left;
      const emptyText = isSource ? "Linux will start here." : "The machine will appear here.";
      return { isSource, place: here, emptyText, canWait: !isSource && situation.is === "empty", isElsewhere: false };
    }
  }
}
