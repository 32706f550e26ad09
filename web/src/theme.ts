const KEY = "pageferry-theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

type Theme = "light" | "dark";

/** Follows the system's theme until the person chooses one, which is kept. `onChange` is called whenever the colours have changed. */
export function setUpTheme(toggle: HTMLButtonElement, onChange: () => void): void {
  const show = (): void => {
    const theme = chosenTheme() ?? (systemIsDark.matches ? "dark" : "light");
    document.documentElement.dataset["theme"] = theme;
    toggle.setAttribute("aria-label", theme === "dark" ? "Use the light theme" : "Use the dark theme");
    onChange();
  };
  toggle.addEventListener("click", () => {
    keep(document.documentElement.dataset["theme"] === "dark" ? "light" : "dark");
    show();
  });
  systemIsDark.addEventListener("change", show);
  show();
}

/** Storage may be forbidden; then the choice holds as long as the page. */
let unkept: Theme | undefined;

function chosenTheme(): Theme | undefined {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : unkept;
  } catch {
    return unkept;
  }
}

function keep(theme: Theme): void {
  unkept = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // It holds as long as the page, then.
  }
}
