import type { Edit, HeadRef, ModelShape, Row, RunRequest, Site } from '../../instrument/runner.ts';
import { MOST_LOGITS } from './commands/run.ts';

/** What the first screen asks of a prompt. */
export function firstScreen({ vocab }: ModelShape, { ids, given }: Row): RunRequest {
  const logits = vocab === 0 ? 'none' : ids.length * vocab <= MOST_LOGITS ? 'all' : 'last';
  return { rows: [{ ids, given }], summaries: true, logits, allowNoEffect: true };
}

const CAPTURED: readonly Site[] = [
  ...(['q', 'k', 'v', 'scores', 'z', 'result'] as const),
  ...(['resid_pre', 'resid_mid', 'resid_post'] as const),
];

/**
 * Runs of a prompt that together need the programs of what a person does first, likeliest first: a look at patterns, an ablation, the grid of
 * patterns, calibration, captures, redistribution, the other edits. Each is one run of a few programs, on one layer of each kind.
 */
export function firstActions(shape: ModelShape, { ids, given }: Row): RunRequest[] {
  const { sites, keys, vocab } = shape;
  const row = { ids, given };
  const layers = layersOfEachKind(shape);
  const having = (site: Site): number[] => layers.filter((layer) => sites[layer].includes(site));
  const own = having('pattern').filter((layer) => keys?.[layer] === undefined);
  const edited = (of: readonly number[], edit: (head: HeadRef) => Edit): Row => ({
    ...row,
    edits: of.map((layer) => edit({ layer, head: 0 })),
  });
  const zeroed = edited(having('z'), (head) => ({ kind: 'z', ...head, scale: 0 }));
  const calibrated = edited(own, (head) => ({ kind: 'act', ...head, alpha: 0.5, beta: 0.4 }));
  const redistributed = edited(
    own.filter((layer) => sites[layer].includes('resid_pre')),
    (head) => ({
      ...({ kind: 'var', ...head, dims: [0], tau: 1, rho: 1 } as const),
      ...{ summ: 0.2, p: 0.1, focus: [0, ids.length] as const },
    }),
  );
  const scaled = edited(own, (head) => ({ kind: 'pattern', ...head, scale: 0.5 }));
  const allowed = new Uint8Array(ids.length ** 2).fill(1);
  const masked = edited(own, (head) => ({ kind: 'mask', ...head, allowed }));
  const logits = vocab === 0 ? 'none' : 'last';
  const allowNoEffect = true;
  return [
    { rows: [row], taps: [{ site: 'pattern', layers: having('pattern') }], logits: 'none' },
    { ...firstScreen(shape, row), rows: [zeroed] },
    { rows: [row], thumbnails: Math.min(ids.length, 64), logits: 'none' },
    { rows: [row, calibrated], logits, allowNoEffect },
    { rows: [row], taps: CAPTURED.map((site) => ({ site, layers: having(site) })), logits: 'none' },
    { rows: [redistributed], logits, allowNoEffect },
    { rows: [scaled, masked], logits, allowNoEffect },
  ];
}

/** The first layer of each kind: layers of one kind are run by the same programs. */
function layersOfEachKind({ layers, heads, kvHeads, headDim, causal, sites, keys }: ModelShape): number[] {
  const first = new Map<string, number>();
  for (let layer = 0; layer < layers; layer++) {
    const sizes = [heads[layer], kvHeads[layer], headDim[layer]];
    const kind = [...sizes, causal[layer], keys?.[layer] !== undefined, ...sites[layer]].join();
    if (!first.has(kind)) first.set(kind, layer);
  }
  return [...first.values()];
}
