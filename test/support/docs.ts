import { readFileSync } from "node:fs";

export const projectFolder: string = new URL("../../", import.meta.url).pathname;

/** The text of a document's example: the code block whose fence says `language name`. */
export function exampleIn(document: string, language: string, name: string): string {
  const text = readFileSync(`${projectFolder}${document}`, "utf8");
  const example = text.match(new RegExp(`\`\`\`${language} ${name}\n(.*?)\`\`\``, "s"))?.[1];
  if (example === undefined) throw new Error(`${document} has no ${language} example ${name}`);
  return example;
}
