import { afterAll, beforeAll, expect, test } from 'vitest';
import { findSinks } from '../../src/analysis/sinks/find.ts';
import { runAll } from '../../src/instrument/runner.ts';
import { openModel } from '../../src/workbench/open.ts';
import { maxAbs } from '../helpers/numbers.ts';
import { processMemory } from './process-memory.ts';
import { serveGpt2, type ServedGpt2 } from './served-gpt2.ts';

/* A prompt of 4,096 tokens over blocks of 32 heads, narrow: the scores of one block would take 2.1 GB, and its softmax as much again. */
const SHAPE = { layers: 2, heads: 32, dModel: 256, vocab: 512, context: 4096, tied: true };
const TOKENS = 4096;
const SHORT = 300;
const ONE_BLOCK = (4 * SHAPE.heads * TOKENS ** 2) / 1e6;

let served: ServedGpt2;
beforeAll(async () => {
  served = await serveGpt2(SHAPE);
}, 120_000);
afterAll(() => served.close());

test.skipIf(process.platform !== 'linux')(
  'overview, sinks, ACT and one head’s pattern of 4,096 tokens take less memory than the scores of one block',
  { timeout: 300_000 },
  async () => {
    const { host, read, device } = served;
    const opened = await openModel(read.checkpoint, device);
    try {
      const { runner } = opened;
      const ids = Array.from({ length: TOKENS }, (_, i) => (i * 7919 + (i >> 3)) % SHAPE.vocab);
      const taps = [{ site: 'pattern' as const, layers: [1], heads: [5] }];
      // the prompt's start alone: at once, before blocks are needed
      const [start] = await runAll(runner, { rows: [{ ids: ids.slice(0, SHORT) }], taps });
      expect(opened.queryBlocks()).toBeUndefined();

      const [overview] = await runAll(runner, { rows: [{ ids }], summaries: true, thumbnails: 16 });
      expect(opened.queryBlocks()).toEqual([true, true]);
      const { received, entropy, maxNormalised } = overview.summaries();
      const sums = Array.from({ length: SHAPE.heads }, (_, head) => {
        // attention received, counted for the queries that may see the key, is all there is
        const of = received[1].subarray(head * TOKENS, (head + 1) * TOKENS);
        return of.reduce((sum, mean, key) => sum + mean * (TOKENS - key), 0) / TOKENS;
      });
      expect(maxAbs(sums, new Array<number>(SHAPE.heads).fill(1))).toBeLessThan(1e-3);
      expect(Math.min(...entropy[1])).toBeGreaterThan(0);
      const thumbnail = overview.thumbnails()[1].subarray(5 * 256, 6 * 256);
      expect(thumbnail[15]).toBe(0); // the first queries do not see the last keys

      // sinks by both definitions, in the dimension that is largest in the stream that enters block 1
      const largest = Math.max(...maxNormalised[1]);
      const settings = { dims: [maxNormalised[1].indexOf(largest)], tau: 0.9 * largest };
      const document = await findSinks(runner, [{ ids, tokens: ids.map(String) }], settings);
      const { sinks } = document.prompts[0];
      const hidden = sinks.flatMap(({ byHiddenState }) => byHiddenState?.phi ?? []);
      expect(Math.abs(Math.max(...hidden) / largest - 1)).toBeLessThan(1e-4);
      const heads = sinks.flatMap(({ position, byAttention }) =>
        (byAttention?.perHead ?? []).map((each) => ({ ...each, position })),
      );
      expect(heads.length).toBeGreaterThan(SHAPE.heads); // few queries see the last keys, each with much to give
      const seen = heads.map(({ layer, head, position }) => received[layer][head * TOKENS + position]);
      expect(
        maxAbs(
          seen,
          heads.map((each) => each.received),
        ),
      ).toBeLessThan(1e-6);

      const edit = { kind: 'act', layer: 0, head: 3, alpha: 1.2, beta: 0.3 } as const;
      const [edited] = await runAll(runner, { rows: [{ ids, edits: [edit] }] });
      expect(edited.changes[0]).toBeGreaterThan(1e-6);
      expect(maxAbs(edited.logits, overview.logits)).toBeGreaterThan(0);

      const [long] = await runAll(runner, { rows: [{ ids }], taps });
      const pattern = long.tap('pattern', 1);
      expect(pattern.dims).toEqual([1, TOKENS, TOKENS]);
      const before = start.tap('pattern', 1).data;
      let worst = 0;
      for (let q = 0; q < SHORT; q++)
        for (let k = 0; k < SHORT; k++)
          worst = Math.max(worst, Math.abs(pattern.data[q * TOKENS + k] - before[q * SHORT + k]));
      expect(worst).toBeLessThan(1e-5);

      const { peak } = processMemory(host.started[host.started.length - 1].pid!);
      console.info(
        `${TOKENS} tokens × ${SHAPE.heads} heads: peak ${peak.toFixed(0)} MB, scores of one block ${ONE_BLOCK.toFixed(0)} MB; pattern of the first ${SHORT} tokens off by ${worst.toExponential(1)}`,
      );
      expect(peak).toBeLessThan(ONE_BLOCK);
    } finally {
      await opened.close();
    }
  },
);
