import { layerChunks, layerParts } from '../../analysis/profile/layer-chunks.ts';
import { runAll, type Row, type Runner, type RunOptions } from '../../instrument/runner.ts';
import { thumbnails, type Figure } from '../../report/index.ts';
import { reducePanel } from '../../report/reduce.ts';
import { headAxes } from './head-grid.ts';

/** Rows and columns of one head's picture at most. */
const SIDE = 32;
/** Cells of all heads' pictures together: some 5 MB of report. */
const ALL_CELLS = 2 ** 19;
/** What the patterns of one run may take. */
const RUN_BYTES = 64 * 2 ** 20;

/** The side of one head's picture when so many have a place: 32 up to 512 heads, less beyond. */
export const pictureSide = (places: number): number =>
  Math.max(1, Math.min(SIDE, Math.floor(Math.sqrt(ALL_CELLS / places))));

/**
 * A small picture of every head's self-attention on one prompt. Patterns are captured some heads a run and shrunk at once, so that never all
 * of them are held.
 * @throws HeadscopeError what `Runner.run` throws
 */
export async function patternThumbnails(
  runner: Runner,
  row: Row,
  context: Figure['context'],
  options: RunOptions,
): Promise<Figure> {
  const { shape } = runner;
  const tokens = row.ids.length;
  const axes = headAxes(shape);
  const widest = axes.columns.names.length;
  const side = Math.min(tokens, pictureSide(shape.layers * widest));
  const panels = new Array<Float32Array | null>(shape.layers * widest).fill(null);
  const layers = shape.heads.flatMap((_, layer) =>
    shape.sites[layer].includes('pattern') && shape.keys?.[layer] === undefined ? [layer] : [],
  );
  const bytes = 4 * tokens * tokens;
  const all = (layer: number): number[] => Array.from({ length: shape.heads[layer] }, (_, head) => head);
  const parts = layerParts(layers, all, () => bytes, RUN_BYTES);
  for (const chunk of layerChunks(parts, ({ heads }) => bytes * heads.length, RUN_BYTES)) {
    const taps = chunk.map(({ layer, heads }) => ({ site: 'pattern' as const, layers: [layer], heads }));
    const [result] = await runAll(runner, { rows: [row], taps, logits: 'none' }, options);
    for (const { layer, heads } of chunk) {
      const { data } = result.tap('pattern', layer);
      heads.forEach((head, i) => {
        const pattern = data.subarray(i * tokens * tokens, (i + 1) * tokens * tokens);
        const [from, to] = [tokens, side].map((size) => ({ rows: size, columns: size }));
        // The largest value of a block keeps thin diagonals visible. No block is empty, so none is null.
        panels[layer * widest + head] = Float32Array.from(reducePanel(pattern, from, to, 'max') as number[]);
      });
    }
  }
  return thumbnails({
    id: 'patterns',
    title: 'Attention patterns of every head',
    caption:
      'One small picture per head: rows are queries from top to bottom, columns are the keys they attend to. A diagonal line is a head that looks a fixed distance back; a bright column is a token that collects attention.',
    ...axes,
    panel: { rowLabel: 'query', columnLabel: 'key', rows: side, columns: side },
    panels,
    ...(side < tokens && { reduced: { by: 'max', rows: tokens, columns: tokens } }),
    scale: { label: 'Attention', domain: [0, 1] },
    context,
  });
}
