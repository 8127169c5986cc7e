/**
 * The colours of everything that is not data. Charts are drawn in the light ones; a page replaces them by its CSS variables, so that one
 * drawing serves light, dark and print.
 */
export const ROLES = {
  ink: { light: '#1c2128', dark: '#e2e6eb' },
  muted: { light: '#59636e', dark: '#9aa5b1' },
  line: { light: '#c9d0d8', dark: '#434b55' },
  faint: { light: '#e7ebef', dark: '#2a3038' },
  surface: { light: '#fdfdfc', dark: '#171b20' },
  accent: { light: '#b3261e', dark: '#ff8a7a' },
  series1: { light: '#1667a8', dark: '#62b0f0' },
  series2: { light: '#c2500f', dark: '#f09a5c' },
  series3: { light: '#1b7a56', dark: '#4fc594' },
  series4: { light: '#7d4da0', dark: '#c39be0' },
  series5: { light: '#8a6800', dark: '#dcb845' },
  series6: { light: '#4e5a66', dark: '#a3b0bd' },
} as const;

export type Role = keyof typeof ROLES;

/** A role's colour as charts draw it. */
export const colour = (role: Role): string => ROLES[role].light;

const SERIES: readonly Role[] = ['series1', 'series2', 'series3', 'series4', 'series5', 'series6'];

/** The colour of the i-th series; after six they repeat, with another symbol. */
export const seriesColour = (i: number): string => colour(SERIES[i % SERIES.length]);

/** Symbols tell series apart where colours cannot. */
const SYMBOLS = ['circle', 'rect', 'triangle', 'diamond'];
export const seriesSymbol = (i: number): string =>
  SYMBOLS[(i + Math.floor(i / SERIES.length)) % SYMBOLS.length];

export const FONT = 'system-ui, sans-serif';

/** CSS variables of one theme. */
export function cssVariables(theme: 'light' | 'dark'): string {
  return Object.entries(ROLES)
    .map(([role, colours]) => `--${role}:${colours[theme]}`)
    .join(';');
}

/** A drawing's fixed colours as variables of the page that it stands in. */
export function withVariables(svg: string): string {
  const byColour = new Map<string, string>(Object.entries(ROLES).map(([role, { light }]) => [light, role]));
  return svg.replace(/(fill|stroke)="(#[0-9a-f]{6})"/g, (whole, attribute: string, hex: string) => {
    const role = byColour.get(hex);
    return role ? `${attribute}="var(--${role})"` : whole;
  });
}
