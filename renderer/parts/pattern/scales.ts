import { COLOURS, colourMap } from '../../../src/report/colours.ts';

/** How values become colours: the report's maps, and on a logarithmic scale the upper four decades of the domain. */
export interface ValueScale {
  readonly map: 'sequential' | 'diverging';
  /** Lowest and highest value; symmetric around 0 for a diverging map. */
  readonly domain: readonly [number, number];
  readonly log: boolean;
}

/** Colour index of a cell that has no value, such as a key after its query. */
export const MASKED = COLOURS;
/** Colour index of NaN, which no map contains and no pooling hides. */
export const NOT_A_NUMBER = COLOURS + 1;

/** On a logarithmic scale, what is smaller than 10^−DECADES of the whole gets the lowest colour. */
export const DECADES = 4;

const MIDDLE = (COLOURS - 1) / 2;

interface ScaleWish {
  readonly diverging?: boolean;
  readonly log?: boolean;
  readonly domain?: readonly [number, number];
}

/** The scale for these values. Without a domain attention has 0…1 and a difference ± its largest finite value. */
export function scaleFor(
  values: Iterable<number | null>,
  { diverging, log = false, domain }: ScaleWish,
): ValueScale {
  if (!diverging) {
    const [low, high] = domain ?? [0, 1];
    return { map: 'sequential', domain: [low, high > low ? high : low + 1], log };
  }
  const size = domain ? Math.max(Math.abs(domain[0]), Math.abs(domain[1])) : largest(values);
  return { map: 'diverging', domain: size > 0 ? [-size, size] : [-1, 1], log };
}

function largest(values: Iterable<number | null>): number {
  let most = 0;
  for (const value of values) {
    const size = Math.abs(value ?? 0);
    if (size > most && size < Infinity) most = size;
  }
  return most;
}

const bent = (share: number, log: boolean): number => {
  const held = Math.min(1, Math.max(0, share));
  return log ? Math.max(0, 1 + Math.log10(held) / DECADES) : held;
};

const unbent = (share: number, log: boolean): number => (log ? 10 ** ((share - 1) * DECADES) : share);

/** Colour index of a value: 0…COLOURS − 1, MASKED for null, NOT_A_NUMBER for NaN. */
export function scaleIndex({ map, domain: [low, high], log }: ValueScale, value: number | null): number {
  if (value === null) return MASKED;
  if (Number.isNaN(value)) return NOT_A_NUMBER;
  if (map === 'sequential') return Math.round(bent((value - low) / (high - low), log) * (COLOURS - 1));
  return Math.round(MIDDLE + Math.sign(value) * bent(Math.abs(value) / high, log) * MIDDLE);
}

/** The value whose colour stands at a share 0…1 of the colour bar: the inverse of `scaleIndex`. */
export function valueAt({ map, domain: [low, high], log }: ValueScale, share: number): number {
  if (map === 'sequential') return low + (high - low) * unbent(share, log);
  const away = Math.abs(2 * share - 1);
  return away === 0 ? 0 : Math.sign(share - 0.5) * high * unbent(away, log);
}

/** How much a colour index says, for picking one of several cells that share a pixel: the farther from nothing, the more. */
export function ranks(map: ValueScale['map']): Uint16Array {
  const out = new Uint16Array(COLOURS + 2);
  for (let i = 0; i < COLOURS; i++)
    out[i] = 1 + (map === 'sequential' ? i : Math.round(2 * Math.abs(i - MIDDLE)));
  out[MASKED] = 0;
  out[NOT_A_NUMBER] = 0xffff;
  return out;
}

/** Pixels of the colour indices as bytes R, G, B, A in memory: MASKED is see-through, NOT_A_NUMBER magenta. */
export function palette(map: ValueScale['map']): Uint32Array {
  const colours = colourMap(map);
  const bytes = new Uint8Array((COLOURS + 2) * 4);
  for (let i = 0; i < COLOURS; i++) bytes.set([...colours.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  bytes.set([255, 0, 255, 255], 4 * NOT_A_NUMBER);
  return new Uint32Array(bytes.buffer);
}
