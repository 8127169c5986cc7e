import { MASKED, scaleIndex, type ValueScale } from './scales.ts';

/** Colour indices of a matrix, row after row. */
export interface IndexedCells {
  readonly indices: Uint16Array;
  readonly rows: number;
  readonly columns: number;
}

/** Pixels to paint on, as in an ImageData. */
export interface Raster {
  readonly pixels: Uint32Array;
  readonly width: number;
  readonly height: number;
}

/** Where cells go, in pixels of the raster: the whole matrix's corner, a cell's sides, and what may be painted of it. */
export interface Placement {
  readonly left: number;
  readonly top: number;
  readonly cellWidth: number;
  readonly cellHeight: number;
  readonly clip: {
    readonly left: number;
    readonly top: number;
    readonly right: number;
    readonly bottom: number;
  };
  /** Leaves the last pixel of each cell free. */
  readonly gap: boolean;
}

/** Colour indices of [rows, columns] values; with `causal`, keys after their query are masked whatever they hold. */
export function indexCells(
  values: Float32Array,
  columns: number,
  scale: ValueScale,
  causal: boolean,
): IndexedCells {
  const rows = columns === 0 ? 0 : Math.floor(values.length / columns);
  const indices = new Uint16Array(rows * columns);
  for (let r = 0, i = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, i++) {
      indices[i] = causal && c > r ? MASKED : scaleIndex(scale, values[i]);
    }
  }
  return { indices, rows, columns };
}

/** Cells of half as many rows and columns: of each four the one of the highest rank. */
function halved({ indices, rows, columns }: IndexedCells, rank: Uint16Array): IndexedCells {
  const half = { rows: Math.ceil(rows / 2), columns: Math.ceil(columns / 2) };
  const out = new Uint16Array(half.rows * half.columns);
  for (let r = 0, i = 0; r < half.rows; r++) {
    const above = 2 * r * columns;
    const below = Math.min(2 * r + 1, rows - 1) * columns;
    for (let c = 0; c < half.columns; c++, i++) {
      const left = 2 * c;
      const right = Math.min(left + 1, columns - 1);
      let best = indices[above + left];
      let other = indices[above + right];
      if (rank[other] > rank[best]) best = other;
      other = indices[below + left];
      if (rank[other] > rank[best]) best = other;
      other = indices[below + right];
      if (rank[other] > rank[best]) best = other;
      out[i] = best;
    }
  }
  return { indices: out, ...half };
}

/** Cells and coarser pictures of them, made when they are first asked for: a large matrix is drawn without reading all of it each time. */
export class CellPyramid {
  readonly #levels: IndexedCells[];
  readonly #rank: Uint16Array;

  /** @param rank which of several cells is seen, as `ranks` gives it */
  constructor(cells: IndexedCells, rank: Uint16Array) {
    this.#levels = [cells];
    this.#rank = rank;
  }

  /** The cells themselves. */
  get cells(): IndexedCells {
    return this.#levels[0];
  }

  /**
   * The coarsest picture whose cells are no larger than a pixel, and how many cells' sides one of its sides is.
   * @param size pixels that a cell takes
   */
  seenAt(size: number): { readonly cells: IndexedCells; readonly sides: number } {
    let level = 0;
    while (size * 2 ** (level + 1) <= 1) level++;
    while (this.#levels.length <= level) this.#levels.push(halved(this.#levels.at(-1)!, this.#rank));
    return { cells: this.#levels[level], sides: 2 ** level };
  }
}

/** For each pixel of one direction the first and last cell under it; −1 where there is none. */
interface Spans {
  readonly from: number;
  readonly first: Int32Array;
  readonly last: Int32Array;
}

function spans(origin: number, size: number, count: number, low: number, high: number, gap: boolean): Spans {
  const from = Math.max(Math.floor(low), Math.round(origin), 0);
  const to = Math.min(Math.ceil(high), Math.round(origin + size * count));
  const length = Math.max(0, to - from);
  const first = new Int32Array(length);
  const last = new Int32Array(length);
  const at = (place: number): number => Math.floor((place - origin) / size);
  const held = (cell: number): number => Math.min(count - 1, Math.max(0, cell));
  for (let i = 0; i < length; i++) {
    const pixel = from + i;
    if (size < 1) {
      first[i] = held(at(pixel));
      last[i] = Math.max(first[i], held(at(pixel + 1 - 1e-6)));
    } else {
      const cell = at(pixel + 0.5);
      first[i] = last[i] = gap && at(pixel + 1.5) !== cell ? -1 : held(cell);
    }
  }
  return { from, first, last };
}

/** Paints the cells. Where several share a pixel the one of the highest rank is seen, so that a single strong cell never vanishes. */
export function paintCells(
  { pixels, width, height }: Raster,
  { indices, rows, columns }: IndexedCells,
  { left, top, cellWidth, cellHeight, clip, gap }: Placement,
  colours: Uint32Array,
  rank: Uint16Array,
): void {
  const across = spans(left, cellWidth, columns, clip.left, Math.min(clip.right, width), gap);
  const down = spans(top, cellHeight, rows, clip.top, Math.min(clip.bottom, height), gap);
  const pooled = cellWidth < 1 || cellHeight < 1;
  for (let i = 0; i < down.first.length; i++) {
    if (down.first[i] < 0) continue;
    const start = (down.from + i) * width + across.from;
    if (!pooled && i > 0 && down.first[i - 1] === down.first[i]) {
      pixels.copyWithin(start, start - width, start - width + across.first.length);
      continue;
    }
    for (let j = 0; j < across.first.length; j++) {
      if (across.first[j] < 0) continue;
      let best = MASKED;
      for (let r = down.first[i]; r <= down.last[i]; r++) {
        for (let k = r * columns + across.first[j]; k <= r * columns + across.last[j]; k++) {
          if (rank[indices[k]] > rank[best]) best = indices[k];
        }
      }
      pixels[start + j] = colours[best];
    }
  }
}
