/** Colour maps with even steps to the eye, computed in Oklab (Ottosson 2020, bottosson.github.io/posts/oklab). */

type Triple = readonly [number, number, number];

/** How many colours a map has: one index of an 8-bit palette is left for "no value". */
export const COLOURS = 255;

// viridis (van der Walt and Smith, CC0) at ten even steps.
const VIRIDIS = [
  '440154',
  '482878',
  '3e4a89',
  '31688e',
  '26828e',
  '1f9e89',
  '35b779',
  '6dcd59',
  'b4de2c',
  'fde725',
];

const toLinear = (c: number): number => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const fromLinear = (c: number): number => (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055);

/** sRGB in [0, 255] to Oklab. */
function oklab(rgb: Triple): Triple {
  const [r, g, b] = rgb.map((c) => toLinear(c / 255));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

/** Oklab to sRGB in [0, 255], clipped to what a screen can show. */
function toRgb([L, a, b]: Triple): Triple {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const linear: Triple = [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
  const byte = (c: number): number => Math.round(255 * fromLinear(Math.min(1, Math.max(0, c))));
  return [byte(linear[0]), byte(linear[1]), byte(linear[2])];
}

function fromHex(hex: string): Triple {
  const at = (i: number): number => parseInt(hex.slice(i, i + 2), 16);
  return [at(0), at(2), at(4)];
}

/** viridis between its steps. */
function sequential(t: number): Triple {
  const place = t * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(place), VIRIDIS.length - 2);
  const [from, to] = [oklab(fromHex(VIRIDIS[i])), oklab(fromHex(VIRIDIS[i + 1]))];
  const mix = (k: 0 | 1 | 2): number => from[k] + (to[k] - from[k]) * (place - i);
  return toRgb([mix(0), mix(1), mix(2)]);
}

/** Blue, near-white in the middle, red: lightness falls evenly to both ends, which also a red-green blind eye tells apart. */
function diverging(t: number): Triple {
  const away = Math.abs(2 * t - 1);
  const hue = (t < 0.5 ? 252 : 27) * (Math.PI / 180);
  const chroma = 0.15 * Math.min(1, 1.25 * away);
  return toRgb([0.97 - 0.52 * away, chroma * Math.cos(hue), chroma * Math.sin(hue)]);
}

const maps = new Map<string, Uint8Array>();

/** The colours of a map as [COLOURS × 3] bytes, lowest value first. */
export function colourMap(map: 'sequential' | 'diverging'): Uint8Array {
  let colours = maps.get(map);
  if (!colours) {
    const at = map === 'sequential' ? sequential : diverging;
    colours = new Uint8Array(COLOURS * 3);
    for (let i = 0; i < COLOURS; i++) colours.set(at(i / (COLOURS - 1)), 3 * i);
    maps.set(map, colours);
  }
  return colours;
}

/** Which colour of the map a value gets; values outside the domain get its ends. */
export function colourIndex(value: number, [low, high]: readonly [number, number]): number {
  const t = (value - low) / (high - low);
  return Math.round(Math.min(1, Math.max(0, t)) * (COLOURS - 1));
}

/** A colour of the map as #rrggbb. */
export function colourHex(map: Uint8Array, index: number): string {
  return (
    '#' + Array.from(map.subarray(3 * index, 3 * index + 3), (c) => c.toString(16).padStart(2, '0')).join('')
  );
}

/** Black or white, whichever stands out more from a colour of the map; the contrast is at least 4.5 (WCAG 2 AA). */
export function inkOn(map: Uint8Array, index: number): string {
  const [r, g, b] = Array.from(map.subarray(3 * index, 3 * index + 3), (c) => toLinear(c / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? '#000000' : '#ffffff';
}
