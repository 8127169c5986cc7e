import {
  headName,
  type Edit,
  type HeadRef,
  type LayerIndex,
  type Row,
  type RowResult,
  type RunOptions,
  type Runner,
  type TokenPos,
} from '../../instrument/runner.ts';
import { klDivergence, topTokens, type TokenScore } from '../lens/distribution.ts';
import { CAPTURE_BYTES, layerChunks, layerParts } from '../profile/layer-chunks.ts';
import { meanAttentionTo } from '../sinks/by-attention.ts';
import { defaultTau, phi, sinksByHiddenState } from '../sinks/by-hidden-state.ts';
import { calibratedLayers } from './layers.ts';
import { checkFocus, redistributed, splitSinks, VAR_DEFAULTS } from './var.ts';

export interface RedistributeSettings {
  /** The span [start, end) that receives the freed attention: an image, a retrieved document, a system prompt. */
  readonly focus: readonly [TokenPos, TokenPos];
  /** Sink dimensions, from `findSinks` or known for the model. */
  readonly dims: readonly number[];
  /** Threshold on φ. Default 20, less for narrow models (`defaultTau`). */
  readonly tau?: number;
  readonly rho?: number;
  readonly summ?: number;
  readonly p?: number;
  /** Default 2 … L − 2 as published, all in models of fewer than five layers. */
  readonly layers?: readonly LayerIndex[];
  /** Tokens listed before and after. Default 10. */
  readonly top?: number;
}

/** What VAR did to one head. */
export interface RedistributedHead extends HeadRef {
  readonly name: string;
  /** Queries after the span for which the unedited head is image-centric. */
  readonly imageCentric: number;
  readonly queries: number;
  /** Mean attention of the queries after the span to the span. */
  readonly focusBefore: number;
  readonly focusAfter: number;
}

/** The `calibrate var` document of the command line. */
export interface Redistribution {
  readonly settings: Required<Omit<RedistributeSettings, 'top'>>;
  readonly before: readonly TokenScore[];
  readonly after: readonly TokenScore[];
  /** KL(before ‖ after) of the next-token distribution, nats. */
  readonly kl: number;
  /** Sinks by hidden state of each treated layer, inside and outside the span. */
  readonly sinks: readonly {
    readonly layer: LayerIndex;
    readonly span: readonly TokenPos[];
    readonly text: readonly TokenPos[];
  }[];
  readonly heads: readonly RedistributedHead[];
  /** (head, query) pairs that are image-centric, over all treated heads. */
  readonly imageCentric: number;
  readonly notes: readonly string[];
}

/**
 * Applies visual attention redistribution to one prompt and shows what it changed. Image-centric pairs are counted on the
 * unedited run; in the edited one a later layer already sees the changes of the earlier ones.
 * @param options.captureBytes what patterns captured in one run may take, `CAPTURE_BYTES` when absent
 * @throws HeadscopeError `bad-setting`, and what `Runner.run` throws
 */
export async function redistribute(
  runner: Runner,
  ids: readonly number[],
  settings: RedistributeSettings,
  { captureBytes = CAPTURE_BYTES, ...options }: RunOptions & { readonly captureBytes?: number } = {},
): Promise<Redistribution> {
  const { shape } = runner;
  const { focus, dims, top = 10 } = settings;
  checkFocus(focus, ids.length);
  const choice = calibratedLayers(shape, settings.layers);
  const tau = settings.tau ?? defaultTau(shape.dModel);
  const { rho = VAR_DEFAULTS.rho, summ = VAR_DEFAULTS.summ, p = VAR_DEFAULTS.p } = settings;
  const used = { focus, dims, tau, rho, summ, p, layers: choice.layers };
  const heads = choice.layers.flatMap((layer) =>
    Array.from({ length: shape.heads[layer] }, (_, head) => ({ layer, head })),
  );
  const edits: Edit[] = heads.map((head) => ({ kind: 'var', ...head, dims, tau, rho, summ, p, focus }));
  // Without a sink dimension there is no sink, and without a sink VAR changes nothing.
  const rows: Row[] = dims.length === 0 ? [{ ids }] : [{ ids }, { ids, edits }];

  const tokens = ids.length;
  const perHead = 4 * rows.length * tokens * tokens;
  const stream = 4 * rows.length * tokens * shape.dModel;
  const parts = layerParts(
    choice.layers,
    (layer) => Array.from({ length: shape.heads[layer] }, (_, head) => head),
    () => perHead,
    captureBytes - stream,
  );
  const chunks = layerChunks(parts, (part) => part.heads.length * perHead + stream, captureBytes);
  const sinks = new Map<LayerIndex, TokenPos[]>();
  const changed: RedistributedHead[] = [];
  const logits: Float32Array[] = [];
  for (const [chunk, group] of chunks.entries()) {
    const before = new Map<string, Before>();
    const after = new Map<string, number>();
    const onRow = (row: RowResult): void => {
      logits[row.index] = row.logits;
      for (const { layer, heads: some } of group) {
        if (row.index === 0 && !sinks.has(layer))
          sinks.set(layer, sinksByHiddenState(phi(row.tap('resid_pre', layer), dims), tau));
        const { data } = row.tap('pattern', layer);
        some.forEach((head, i) => {
          const pattern = data.subarray(i * tokens * tokens, (i + 1) * tokens * tokens);
          const name = headName({ layer, head });
          if (row.index === 0) before.set(name, unedited(pattern, tokens, sinks.get(layer)!, used));
          else after.set(name, onFocus(pattern, tokens, focus));
        });
      }
    };
    const taps = group.flatMap(({ layer, heads: some }) => [
      { site: 'pattern' as const, layers: [layer], heads: some },
      { site: 'resid_pre' as const, layers: [layer] },
    ]);
    await runner.run({ rows, taps, allowNoEffect: true }, onRow, {
      ...options,
      onProgress: (done) => options.onProgress?.(chunk * rows.length + done, chunks.length * rows.length),
    });
    for (const { layer, heads: some } of group)
      for (const head of some) {
        const name = headName({ layer, head });
        const { imageCentric, focusBefore } = before.get(name)!;
        const queries = tokens - focus[1];
        const focusAfter = after.get(name) ?? focusBefore;
        changed.push({ layer, head, name, imageCentric, queries, focusBefore, focusAfter });
      }
  }
  const layerSinks = [...sinks].map(([layer, all]) => ({ layer, ...splitSinks(all, focus) }));
  const imageCentric = changed.reduce((sum, head) => sum + head.imageCentric, 0);
  return {
    settings: used,
    before: topTokens(logits[0], top),
    after: topTokens(logits.at(-1)!, top),
    kl: klDivergence(logits[0], logits.at(-1)!),
    sinks: layerSinks,
    heads: changed,
    imageCentric,
    notes: notes(
      choice.note,
      used,
      layerSinks.some(({ span }) => span.length > 0),
      imageCentric,
    ),
  };
}

type Before = Pick<RedistributedHead, 'imageCentric' | 'focusBefore'>;

/** What is read off a head's pattern before the edit. */
const unedited = (
  pattern: Float32Array,
  tokens: number,
  sinks: readonly TokenPos[],
  used: Redistribution['settings'],
): Before => ({
  imageCentric: redistributed(pattern, tokens, sinks, used.focus, used).imageCentric.length,
  focusBefore: onFocus(pattern, tokens, used.focus),
});

/** Mean attention of the queries after the span to the span. */
function onFocus(pattern: Float32Array, tokens: number, [start, end]: readonly [TokenPos, TokenPos]): number {
  const span = Array.from({ length: end - start }, (_, i) => start + i);
  return meanAttentionTo(pattern, tokens, span, end);
}

function notes(
  layers: string | null,
  used: Redistribution['settings'],
  spanSinks: boolean,
  imageCentric: number,
): string[] {
  const out = layers === null ? [] : [layers];
  if (used.tau < VAR_DEFAULTS.tau)
    out.push(`The threshold on φ was ${used.tau.toFixed(1)}; the published one is ${VAR_DEFAULTS.tau}.`);
  if (used.dims.length === 0)
    out.push(
      'The model has no sink dimensions, so there are no sinks by hidden state and nothing was changed.',
    );
  else if (!spanSinks) out.push('No treated layer has a sink inside the focus span, so nothing was changed.');
  else if (imageCentric === 0)
    out.push('No head attends enough to the focus span outside its sinks, so nothing was changed.');
  return out;
}
