/** What an element made by {@link element} is given: properties of its own, and attributes under their names. */
type Given<Tag extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[Tag], "style" | "dataset" | "children" | "attributes">
> & {
  readonly attributes?: Readonly<Record<string, string>>;
};

/** Makes an element with what stands in it. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  given: Given<Tag> = {},
  ...content: readonly (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const { attributes = {}, ...properties } = given;
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...content);
  return made;
}

/** The element of the page with this id. */
export function byId<Kind extends HTMLElement = HTMLElement>(id: string): Kind {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no element ${id}.`);
  return found as Kind;
}

/** A button with a text, and what it does. */
export function button(text: string, onClick: () => void, className = ""): HTMLButtonElement {
  const made = element("button", { type: "button", className }, text);
  made.addEventListener("click", onClick);
  return made;
}

/** How long a question on a button stands. */
const QUESTION_MS = 3000;

/** A button that asks back, and does what it is for when it is pressed once more. */
export function confirmedButton(text: string, question: string, onClick: () => void): HTMLButtonElement {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const calm = (): void => {
    clearTimeout(timer);
    timer = undefined;
    setText(made, text);
  };
  const made = button(text, () => {
    if (timer !== undefined) {
      calm();
      onClick();
      return;
    }
    setText(made, question);
    timer = setTimeout(calm, QUESTION_MS);
  });
  return made;
}

/** Sets a text only where it differs, so that screen readers are not told the same again. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** Gives the bytes to the person as a file. */
export function offerDownload(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  element("a", { href: url, download: name }).click();
  // The download reads it after this turn.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
