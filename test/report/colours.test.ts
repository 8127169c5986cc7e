import { describe, expect, it } from 'vitest';
import { COLOURS, colourHex, colourIndex, colourMap, inkOn } from '../../src/report/colours.ts';
import { ROLES } from '../../src/report/theme.ts';

type Rgb = [number, number, number];
const rgbOf = (hex: string): Rgb => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)) as Rgb;
const linear = (c: number): number =>
  c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4;
/** Relative luminance as WCAG 2 defines it. */
const luminance = ([r, g, b]: Rgb): number => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const contrast = (a: Rgb, b: Rgb): number => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
/** CIE 1976 L*a*b*, D65: another measure of what the eye sees than the one the maps were made with. */
function lab(rgb: Rgb): Rgb {
  const [r, g, b] = rgb.map(linear);
  const f = (t: number): number => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  const x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505);
  const y = f(0.2126 * r + 0.7152 * g + 0.0722 * b);
  const z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}
const at = (map: 'sequential' | 'diverging', i: number): Rgb =>
  [...colourMap(map).subarray(3 * i, 3 * i + 3)] as Rgb;
const distance = (a: Rgb, b: Rgb): number => Math.hypot(...lab(a).map((v, i) => v - lab(b)[i]));
/** How a deuteranope sees a colour (Viénot, Brettel and Mollon 1999). */
const deuteranope = (rgb: Rgb): Rgb => {
  const [r, g, b] = rgb.map(linear);
  const out = [0.29275 * r + 0.70725 * g, 0.29275 * r + 0.70725 * g, -0.02234 * r + 0.02234 * g + b];
  return out.map((c) => 255 * (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055)) as Rgb;
};

describe('colour maps', () => {
  it.each([
    [0, '#440154'],
    [0.25, '#3b528b'],
    [0.5, '#21908c'],
    [0.75, '#5dc863'],
    [1, '#fde725'],
  ])('the sequential map is viridis at %d', (t, published) => {
    const ours = at('sequential', Math.round(t * (COLOURS - 1)));
    expect(distance(ours, rgbOf(published))).toBeLessThan(2);
  });

  it('grows lighter all the way, in even steps', () => {
    const steps = Array.from({ length: 16 }, (_, i) =>
      at('sequential', Math.round((i / 15) * (COLOURS - 1))),
    );
    const between = steps.slice(1).map((colour, i) => distance(colour, steps[i]));
    steps.slice(1).forEach((colour, i) => expect(lab(colour)[0]).toBeGreaterThan(lab(steps[i])[0]));
    expect(Math.max(...between) / Math.min(...between)).toBeLessThan(2.2);
  });

  it('diverges from near-white to ends of one lightness, also for a deuteranope', () => {
    const [low, middle, high] = [0, (COLOURS - 1) / 2, COLOURS - 1].map((i) => at('diverging', i));
    expect(lab(middle)[0]).toBeGreaterThan(94);
    expect(Math.abs(lab(low)[0] - lab(high)[0])).toBeLessThan(6);
    expect(low[2]).toBeGreaterThan(low[0]);
    expect(high[0]).toBeGreaterThan(high[2]);
    expect(distance(deuteranope(low), deuteranope(high))).toBeGreaterThan(50);
  });

  it('gives values their place and keeps what lies outside at the ends', () => {
    expect([-5, 0, 0.5, 1, 9].map((value) => colourIndex(value, [0, 1]))).toEqual([0, 0, 127, 254, 254]);
    expect(colourIndex(0, [-2, 2])).toBe(127);
  });

  it.each(['sequential', 'diverging'] as const)('writes on every colour of the %s map legibly', (map) => {
    for (let i = 0; i < COLOURS; i++) {
      expect(contrast(at(map, i), rgbOf(inkOn(colourMap(map), i)))).toBeGreaterThan(4.5);
    }
  });

  it('never is a colour of the frame, which a page replaces', () => {
    const roles = new Set<string>(Object.values(ROLES).map(({ light }) => light));
    expect(roles.size).toBe(Object.keys(ROLES).length);
    for (const map of ['sequential', 'diverging'] as const) {
      for (let i = 0; i < COLOURS; i++) expect(roles.has(colourHex(colourMap(map), i))).toBe(false);
    }
  });
});

describe.each(['light', 'dark'] as const)('the %s theme', (theme) => {
  const ground = rgbOf(ROLES.surface[theme]);
  it.each(['ink', 'muted', 'accent'] as const)('has legible %s', (role) => {
    expect(contrast(rgbOf(ROLES[role][theme]), ground)).toBeGreaterThan(4.5);
  });
  it.each(['series1', 'series2', 'series3', 'series4', 'series5', 'series6'] as const)(
    'has a visible %s',
    (role) => {
      expect(contrast(rgbOf(ROLES[role][theme]), ground)).toBeGreaterThan(3);
    },
  );
  it('has text legible on what is set off', () => {
    expect(contrast(rgbOf(ROLES.ink[theme]), rgbOf(ROLES.faint[theme]))).toBeGreaterThan(4.5);
    expect(contrast(rgbOf(ROLES.accent[theme]), rgbOf(ROLES.faint[theme]))).toBeGreaterThan(4.5);
  });
});
