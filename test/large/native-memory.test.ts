import { afterAll, beforeAll, expect, test } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { isRange } from '../../src/onnx/model.ts';
import { openModel } from '../../src/workbench/open.ts';
import { allowance, forgetPeak, processMemory } from './process-memory.ts';
import { serveGpt2, type ServedGpt2 } from './served-gpt2.ts';

/*
 * A checkpoint as the app opens it on the native CPU: this process reads the graph, the shell's child process holds the weights. Half a model
 * of GPT-2's width, so that its table of words is nearly half of it.
 */
const SHAPE = { layers: 6, heads: 12, dModel: 768, vocab: 50_257, context: 256, tied: true };
const TOKENS = 32;

let served: ServedGpt2;
beforeAll(async () => {
  served = await serveGpt2(SHAPE);
}, 120_000);
afterAll(() => served.close());

test.skipIf(process.platform !== 'linux')(
  'weights are resident once: for overview, capture, edits and the lens together',
  async () => {
    const { host, read, device } = served;
    const { checkpoint } = read;
    const sizes = [...checkpoint.original.graph.initializers.values()].map(({ data }) =>
      isRange(data) ? data.length / 1e6 : 0,
    );
    const weights = sizes.reduce((a, b) => a + b, 0);
    const largest = Math.max(...sizes);
    const here = process.memoryUsage.rss();

    const opened = await openModel(checkpoint, device);
    const { runner } = opened;
    const ids = Array.from({ length: TOKENS }, (_, i) => (i * 7919) % SHAPE.vocab);
    const [overview] = await runAll(runner, { rows: [{ ids }], summaries: true });
    expect(overview.logits.some((logit) => logit !== 0)).toBe(true);
    const taps = [{ site: 'pattern' as const }, { site: 'z' as const }];
    await runAll(runner, { rows: [{ ids }], taps });
    await runAll(runner, { rows: [{ ids, edits: [{ kind: 'z', layer: 1, head: 0, scale: 0 }] }] });
    const rows = { dims: [TOKENS, SHAPE.dModel], data: new Float32Array(TOKENS * SHAPE.dModel).fill(0.1) };
    await runner.unembed(rows);
    await runner.unembedFrozen(rows, { ...rows, data: rows.data.map((_, i) => Math.sin(i)) });

    const { pid } = host.started[0];
    const { peak, own } = processMemory(pid!);
    const beyond = peak - weights;
    const text = (mb: number): string => mb.toFixed(0);
    console.info(
      `weights ${text(weights)} MB, largest ${text(largest)}; peak ${text(peak)}, beyond the weights ${text(beyond)} of ${text(allowance(largest))} MB`,
    );
    expect(weights).toBeGreaterThan(300);
    // all matrices are there, in the runtime's own order
    expect(own).toBeGreaterThan(0.9 * weights);
    expect(beyond).toBeLessThan(allowance(largest));
    // the engine has them not
    expect((process.memoryUsage.rss() - here) / 1e6).toBeLessThan(200);

    // what a second copy would look like
    forgetPeak(pid!);
    const second = await openModel(checkpoint, device);
    const two = processMemory(pid!).peak - weights;
    console.info(`opened twice, ${text(two)} MB beyond the weights`);
    expect(two).toBeGreaterThan(allowance(largest));
    await second.close();

    await opened.close();
    const after = processMemory(pid!);
    console.info(`closed: ${text(after.own)} MB of its own, ${text(after.files)} MB of files`);
    expect(after.own).toBeLessThan(150);
  },
  120_000,
);
