/** The numbers that a guest counted. */
export interface Continuity {
  readonly first: number;
  readonly last: number;
  /** A sentence for each place where the next number did not follow; empty where the guest lost nothing. */
  readonly breaks: readonly string[];
}

/**
 * Follows a guest's counter through what its machines printed, in the order in which it ran on them: a line may begin on one machine and end on
 * the next. Throws where less than two numbers were printed.
 */
export function continuity(...printed: readonly string[]): Continuity {
  const counts = countsIn(printed.join(""));
  const [first, last] = [counts[0], counts.at(-1)];
  if (first === undefined || last === undefined || counts.length < 2) {
    throw new Error(`The guest did not count: it printed ${JSON.stringify(printed.join("").slice(-500))}`);
  }
  const breaks = counts.flatMap((count, index) => {
    const before = counts[index - 1];
    return before === undefined || count === before + 1 ? [] : [`${count} came after ${before}.`];
  });
  return { first, last, breaks };
}

/** The numbers of whole lines. */
export function countsIn(text: string): number[] {
  return Array.from(text.matchAll(/\nCNT (\d+)(?=\r?\n)/g), ([, count]) => Number(count));
}
