/** Text from outside for a person: one who reads it on a terminal, which takes control characters for orders, sees spaces for them. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}
