import { InvalidArgumentError, Option } from "commander";

/** `--most-reads`: the budget of reads for one page of a chain. */
export function readsOption(description: string): Option {
  return new Option("--most-reads <count>", description).argParser((text) => {
    const count = Number(text);
    if (!Number.isSafeInteger(count) || count < 1) throw new InvalidArgumentError("It must be a whole number above 0.");
    return count;
  });
}
