import Table from "cli-table3";

/** A table without colours; all columns are right-aligned but the first `leftColumns`. */
export function plainTable(head: string[], leftColumns = 0): Table.Table {
  const colAligns = head.map((_, column) => (column < leftColumns ? ("left" as const) : ("right" as const)));
  return new Table({ head, colAligns, style: { head: [], border: [], compact: true } });
}
