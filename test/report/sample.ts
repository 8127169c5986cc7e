import { readFileSync } from 'node:fs';
import {
  bars,
  graph,
  heatmap,
  lines,
  report,
  scatter,
  section,
  table,
  thumbnails,
  tokens,
  withoutFuture,
  type NpyArray,
  type ReportDocument,
} from '../../src/report/index.ts';

interface Golden {
  prompt: string;
  tokens: string[];
  files: { name: string; bytes: number; sha256: string }[];
  sha256: string;
  metric: string;
  pairs: number;
  clean: number;
  corrupted: number;
  allAblated: number;
  heads: { layer: number; head: number; ablation: number; patching: number; inCircuit: boolean }[];
  greedy: { layer: number; head: number; metric: number }[];
  edges: { from: string; to: string; value: number }[];
  prompts: { positive: string; negative: string; answer: string; wrong: string[] }[];
}

/** Reference numbers of the small IOI model, computed by PyTorch: patterns [4 layers, 8 heads, 16 queries, 16 keys] and effects. */
export const golden = JSON.parse(readFileSync(new URL('ioi.json', import.meta.url), 'utf8')) as Golden;
const bytes = readFileSync(new URL('ioi-patterns.bin', import.meta.url));
export const patterns = new Float32Array(
  bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
);

const [LAYERS, HEADS, T] = [4, 8, 16];
const name = ({ layer, head }: { layer: number; head: number }): string => `L${layer}H${head}`;
const count = (n: number): string[] => Array.from({ length: n }, (_, i) => String(i));

/** The pattern of one head, [16 × 16]. */
export function pattern(layer: number, head: number): Float32Array {
  const start = (layer * HEADS + head) * T * T;
  return patterns.subarray(start, start + T * T);
}

/** Mean attention that key k receives from the queries that may see it, over all heads. */
function received(): number[] {
  return count(T).map((_, k) => {
    let sum = 0;
    for (let block = 0; block < LAYERS * HEADS; block++) {
      for (let q = k; q < T; q++) sum += patterns[block * T * T + q * T + k];
    }
    return sum / (LAYERS * HEADS) / (T - k);
  });
}

/** Entropy in bits of every row of a head's pattern. */
function entropies(layer: number, head: number): number[] {
  const values = pattern(layer, head);
  return count(T).map(
    (_, q) =>
      -values.subarray(q * T, (q + 1) * T).reduce((sum, a) => sum + (a > 0 ? a * Math.log2(a) : 0), 0),
  );
}

/** A report such as the workbench writes, from real numbers. */
export function sampleReport(): ReportDocument {
  const layers = { label: 'layer', names: count(LAYERS) };
  const heads = { label: 'head', names: count(HEADS) };
  const keys = { label: 'key', names: golden.tokens, tokens: true };
  const marks = golden.heads
    .filter((head) => head.inCircuit)
    .map(({ layer, head }) => ({ row: layer, column: head }));
  const inOrder = [...golden.heads].sort((a, b) => Math.abs(b.patching) - Math.abs(a.patching));
  const span = golden.clean - golden.corrupted;
  const layerEntropy = count(LAYERS).map((_, l) => count(HEADS).flatMap((_, h) => entropies(l, h)));
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const sd = (values: readonly number[]): number =>
    Math.sqrt(mean(values.map((v) => (v - mean(values)) ** 2)));
  const graphNodes = golden.heads.map((head) => ({
    name: name(head),
    row: head.layer,
    column: head.head,
    value: head.patching,
    member: head.inCircuit,
  }));

  return report({
    title: 'ioi-4l: who does indirect object identification',
    created: '2026-11-22T12:00:00Z',
    program: { name: 'Headscope', version: '0.1.0' },
    provenance: {
      checkpoint: { name: 'ioi-4l', files: golden.files, sha256: golden.sha256 },
      device: 'CPU, onnxruntime-node 1.30.0, 2 threads',
      dtype: 'float32',
      opset: 17,
      measuredError: {
        what: 'logits, edited graph against the unedited model',
        maxAbs: 1.907e-6,
        tolerance: 5e-5,
      },
      seed: 7,
    },
    settings: { alpha: 3, tau: 20, 'training prompts': 10, latents: 200 },
    sections: [
      section({
        id: 'patterns',
        title: 'What the heads look at',
        summary:
          'Most heads of layers 0 and 1 look at one or two tokens a query; two heads of layer 2 spread over all of them.\n\nNo token but the first is a sink by attention at α = 3.',
        prompts: [{ text: golden.prompt, answer: 'Noah', distractor: 'Otto' }],
        figures: [
          thumbnails({
            id: 'all-heads',
            title: 'Attention patterns of all 32 heads',
            caption:
              'Each panel is one head: queries from top to bottom, keys from left to right. Bright is strong attention.',
            rows: layers,
            columns: heads,
            panel: { rowLabel: 'query', columnLabel: 'key', rows: T, columns: T },
            panels: golden.heads.map(({ layer, head }) => withoutFuture(pattern(layer, head), T)),
            scale: { label: 'attention', domain: [0, 1] },
          }),
          tokens({
            id: 'received',
            title: 'Mean attention received by each token',
            caption:
              'Mean over all heads and over the queries that can see the token. Framed tokens receive more than α / T.',
            tokens: golden.tokens,
            values: received(),
            scale: { label: 'mean attention received' },
            marks: received().flatMap((value, position) =>
              value > 3 / T ? [{ position, label: 'sink' }] : [],
            ),
          }),
          heatmap({
            id: 'l3h3',
            title: 'Pattern of L3H3',
            caption:
              'A row is a query and sums to 1. The last query, “to”, looks at the second “Otto”, the name that must not be said.',
            rows: { label: 'query', names: golden.tokens, tokens: true },
            columns: keys,
            values: withoutFuture(pattern(3, 3), T),
            scale: { label: 'attention', domain: [0, 1] },
            showValues: false,
          }),
          lines({
            id: 'entropy',
            title: 'Layer 2 spreads its attention most, layer 1 least',
            caption:
              'Entropy of the attention rows, mean over heads and queries. 0 bits is attention to one key, 4 bits is uniform over 16.',
            x: { label: 'layer' },
            y: { label: 'entropy', unit: 'bits', domain: [0, 4] },
            series: [
              {
                name: 'mean over heads and queries',
                x: count(LAYERS).map(Number),
                y: layerEntropy.map(mean),
                low: layerEntropy.map((values) => mean(values) - sd(values)),
                high: layerEntropy.map((values) => mean(values) + sd(values)),
              },
            ],
            interval: '± 1 standard deviation',
          }),
        ],
      }),
      section({
        id: 'circuit',
        title: 'The IOI circuit',
        summary: `Thirteen heads change the logit difference by at least a tenth of what the corruption does. Nine heads alone bring it back to ${golden.greedy[8].metric} of ${golden.clean}.`,
        note: 'Check L0H0 and L0H3 again: ablating them helps, patching them hurts.',
        prompts: golden.prompts.map((pair) => ({
          text: pair.positive,
          answer: pair.answer,
          distractor: pair.wrong[0],
          corrupt: pair.negative,
        })),
        context: { prompts: `${golden.pairs} prompt pairs`, settings: { metric: golden.metric } },
        warnings: ['64 pairs from 8 templates: prompts that share a template are not independent.'],
        figures: [
          heatmap({
            id: 'effect',
            title: 'Mean ablation: which heads the answer needs',
            caption:
              'Drop of the logit difference when the head is replaced by its mean over the corrupt prompts. Red: needed. Blue: removing it helps.',
            rows: layers,
            columns: heads,
            values: golden.heads.map((head) => head.ablation),
            scale: { label: 'effect', unit: 'logits' },
            marks: { label: 'in the circuit', cells: marks },
          }),
          graph({
            id: 'graph',
            title: 'Heads of the circuit and how alike their outputs are',
            caption:
              'Layer 0 is at the bottom. An edge joins two circuit heads of different layers whose results at the last position point the same (or, in orange, the opposite) way.',
            rows: layers,
            columns: heads,
            nodes: graphNodes,
            edges: golden.edges.map(({ from, to, value }) => ({
              from: graphNodes.findIndex((node) => node.name === from),
              to: graphNodes.findIndex((node) => node.name === to),
              value,
            })),
            node: { label: 'patching effect', unit: 'logits' },
            edge: { label: 'cosine of results' },
            memberLabel: 'in the circuit',
          }),
          lines({
            id: 'faithfulness',
            title: 'Nine heads are enough',
            caption:
              'Logit difference with only these heads intact, all others mean-ablated; heads are added in greedy order.',
            x: { label: 'heads kept' },
            y: { label: 'logit difference', unit: 'logits' },
            series: [
              {
                name: 'greedy circuit',
                x: count(golden.greedy.length + 1).map(Number),
                y: [golden.allAblated, ...golden.greedy.map((step) => step.metric)],
                labels: ['none', ...golden.greedy.map(name)],
              },
            ],
            references: [
              { axis: 'y', value: golden.clean, label: 'full model' },
              { axis: 'y', value: golden.corrupted, label: 'corrupt prompts' },
            ],
          }),
          scatter({
            id: 'agreement',
            title: 'Ablation and patching disagree for the early heads',
            caption: 'One point a head. Below the line, patching finds less than ablation.',
            x: { label: 'mean-ablation effect', unit: 'logits' },
            y: { label: 'patching effect', unit: 'logits' },
            series: [true, false].map((inCircuit) => ({
              name: inCircuit ? 'in the circuit' : 'other heads',
              points: golden.heads
                .filter((head) => head.inCircuit === inCircuit)
                .map((head) => ({
                  x: head.ablation,
                  y: head.patching,
                  label: inCircuit ? name(head) : undefined,
                })),
            })),
            diagonal: 'equal',
          }),
          bars({
            id: 'ranking',
            title: 'Effect of every head, strongest first',
            caption:
              'Sorted by the size of the patching effect. The dashed line is the threshold of the circuit.',
            categories: { label: 'head', names: inOrder.map(name) },
            value: { label: 'effect', unit: 'logits' },
            series: [
              { name: 'patching', values: inOrder.map((head) => head.patching) },
              { name: 'mean ablation', values: inOrder.map((head) => head.ablation) },
            ],
            references: [{ value: 0.1 * span, label: 'a tenth of clean − corrupt' }],
          }),
          bars({
            id: 'layer-entropy',
            title: 'Entropy by layer, with its range',
            caption: 'Mean over heads and queries; the whisker spans the heads’ means.',
            categories: { label: 'layer', names: ['0 (first)', '1', '2', '3, which writes the answer'] },
            value: { label: 'entropy', unit: 'bits' },
            series: [
              {
                name: 'entropy',
                values: layerEntropy.map(mean),
                low: count(LAYERS).map((_, l) =>
                  Math.min(...count(HEADS).map((_, h) => mean(entropies(l, h)))),
                ),
                high: count(LAYERS).map((_, l) =>
                  Math.max(...count(HEADS).map((_, h) => mean(entropies(l, h)))),
                ),
              },
            ],
            interval: 'least to most spread head',
          }),
        ],
        tables: [
          table({
            id: 'heads',
            title: 'The heads of the circuit',
            caption: 'Effects are means over the prompt pairs.',
            columns: [
              { label: 'head', kind: 'text' },
              { label: 'layer', kind: 'number' },
              { label: 'mean-ablation effect', unit: 'logits', kind: 'number', decimals: 3 },
              { label: 'patching effect', unit: 'logits', kind: 'number', decimals: 3 },
              { label: 'share of clean − corrupt', kind: 'number', decimals: 3 },
            ],
            rows: inOrder
              .filter((head) => head.inCircuit)
              .map((head) => [name(head), head.layer, head.ablation, head.patching, head.patching / span]),
          }),
        ],
      }),
    ],
  });
}

/** The patterns by layer under their hook names, [batch, head, query, key]. */
export function sampleArrays(): Record<string, NpyArray> {
  const size = HEADS * T * T;
  return Object.fromEntries(
    count(LAYERS).map((_, l) => [
      `blocks.${l}.attn.hook_pattern`,
      { dims: [1, HEADS, T, T], data: patterns.subarray(l * size, (l + 1) * size) },
    ]),
  );
}
