import { createSubscriber } from 'svelte/reactivity';

/** The theme's colours and faces as a canvas needs them. */
export interface Inks {
  readonly surface: string;
  readonly line: string;
  readonly ink: string;
  readonly inkSoft: string;
  readonly inkFaint: string;
  readonly accent: string;
  readonly accentInk: string;
  readonly warn: string;
  readonly mono: string;
  readonly sans: string;
}

const onThemeChange = createSubscriber((update) => {
  const observer = new MutationObserver(update);
  observer.observe(document.documentElement, { attributeFilter: ['data-theme'] });
  return () => observer.disconnect();
});

/** The inks of the current theme; an effect that reads them runs again when the theme changes. */
export function inksOf(element: Element): Inks {
  onThemeChange();
  const style = getComputedStyle(element);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return {
    surface: of('--surface'),
    line: of('--line'),
    ink: of('--ink'),
    inkSoft: of('--ink-soft'),
    inkFaint: of('--ink-faint'),
    accent: of('--accent'),
    accentInk: of('--accent-ink'),
    warn: of('--warn'),
    mono: of('--mono'),
    sans: of('--sans'),
  };
}
