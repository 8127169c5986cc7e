import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { unzipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { runAll, type ModelShape, type Runner, type Site } from '../../src/instrument/runner.ts';
import { halfToNumber } from '../../src/onnx/tensor-values.ts';
import { memoryFile } from '../../src/report/npz.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { captureNpz, planCapture, type CaptureSettings } from '../../src/workbench/capture.ts';
import { checkRoom, writePlacedAtomic } from '../../src/workbench/node-output.ts';
import { openWorkbench } from '../../src/workbench/workbench.ts';
import { CountedDevice } from '../helpers/counted-device.ts';
import { checkpointFolder } from '../helpers/models.ts';

/** Numbers of a .npy file by the letter of the format. */
function numbersOf(file: Uint8Array): { dims: number[]; values: number[] } {
  const length = 10 + new DataView(file.buffer, file.byteOffset).getUint16(8, true);
  const header = Buffer.from(file.subarray(0, length)).toString('latin1');
  const dims = /'shape': \(([^)]*)\)/.exec(header)![1].split(',').filter(Boolean).map(Number);
  const body = file.slice(length).buffer;
  if (header.includes('<f2')) return { dims, values: Array.from(new Uint16Array(body), halfToNumber) };
  return { dims, values: Array.from(header.includes('<i4') ? new Int32Array(body) : new Float32Array(body)) };
}

describe('a capture', () => {
  const rows = [
    { ids: [1, 7, 9, 12, 30, 7] },
    { ids: [1, 9, 7] },
    { ids: [1, 3, 4, 5, 6, 8, 10, 11, 13, 14] },
    { ids: [1, 21, 22, 23] },
  ];
  const settings = {
    sites: ['pattern', 'scores', 'z', 'k', 'result', 'resid', 'logits'],
    layers: [0, 2],
    heads: [1, 6],
  } as const;

  async function captured(
    runner: Runner,
    chosen: CaptureSettings,
    captureBytes?: number,
  ): Promise<Record<string, Uint8Array>> {
    const file = memoryFile(planCapture(runner, rows, chosen).fileBytes);
    await captureNpz(runner, rows, chosen, file, { captureBytes });
    return unzipSync(file.bytes);
  }

  it('of what does not fit into memory together is put together of runs over heads and positions', async () => {
    const counted = new CountedDevice(nodeDevice('cpu', { threads: 1 }));
    const workbench = await openWorkbench(checkpointFolder('ioi-4l'), counted.device);
    const { runner } = workbench.opened;
    try {
      const whole = await captured(runner, settings);
      for (const budget of [4096, 12_000]) {
        counted.reset();
        const apart = await captured(runner, settings, budget);
        // 4 prompts may share a run; 8 heads' keys are always whole
        expect(counted.ofRun).toBeLessThan(4 * Math.max(budget, 4 * 10 * 8 * 16) + 4096);
        expect(planCapture(runner, rows, settings, budget).runs).toBeGreaterThan(10);
        expect(Object.keys(apart)).toEqual(Object.keys(whole));
        for (const [name, file] of Object.entries(whole)) {
          const [a, b] = [numbersOf(apart[name]), numbersOf(file)];
          expect(a.dims, name).toEqual(b.dims);
          const off = a.values.reduce(
            (most, x, i) => (x === b.values[i] ? most : Math.max(most, Math.abs(x - b.values[i]))),
            0,
          );
          expect(off, name).toBeLessThan(1e-4);
        }
      }
    } finally {
      await workbench.close();
    }
  });

  it('holds what runs of the single prompts give, in both precisions', async () => {
    const workbench = await openWorkbench(checkpointFolder('ioi-4l'), nodeDevice('cpu', { threads: 1 }));
    const { runner } = workbench.opened;
    const files = await captured(runner, settings);
    const halves = await captured(runner, { ...settings, half: true });
    expect(Object.keys(files)).toEqual(Object.keys(halves));
    expect(numbersOf(files['lengths.npy']).values).toEqual([6, 3, 10, 4]);
    expect(numbersOf(files['tokens.npy']).values.slice(10, 20)).toEqual([
      1,
      9,
      7,
      ...Array<number>(7).fill(-1),
    ]);
    const sites: Site[] = ['pattern', 'scores', 'z', 'k', 'result', 'resid_pre', 'resid_mid', 'resid_post'];
    const hooks: Partial<Record<Site, string>> = {
      pattern: 'attn.hook_pattern',
      scores: 'attn.hook_attn_scores',
      z: 'attn.hook_z',
      k: 'attn.hook_k',
      result: 'attn.hook_result',
    };
    for (const [i, row] of rows.entries()) {
      const taps = sites.map((site) => ({ site, layers: [0, 2] }));
      const [alone] = await runAll(runner, { rows: [row], taps, logits: 'all' });
      const T = row.ids.length;
      for (const layer of [0, 2])
        for (const site of sites) {
          const name = `blocks.${layer}.${hooks[site] ?? `hook_${site}`}.npy`;
          const whole = numbersOf(files[name]);
          const half = numbersOf(halves[name]);
          expect(half.dims).toEqual(whole.dims);
          const { data, dims } = alone.tap(site, layer);
          const [, b, c, d] = whole.dims;
          const inner = dims[dims.length - 1];
          let worst = 0;
          let worstHalf = 0;
          const compare = (at: number, value: number): void => {
            const masked = value < -1e30;
            if (masked) expect(whole.values[at]).toBe(value);
            else worst = Math.max(worst, Math.abs(whole.values[at] - value));
            const wanted = whole.values[at];
            if (!masked)
              worstHalf = Math.max(
                worstHalf,
                Math.abs(half.values[at] - wanted) / Math.max(Math.abs(wanted), 2 ** -14),
              );
          };
          if (site.startsWith('resid')) {
            for (let t = 0; t < T; t++)
              for (let x = 0; x < inner; x++) compare((i * b + t) * c + x, data[t * inner + x]);
          } else
            [1, 6].forEach((head, slot) => {
              for (let t = 0; t < T; t++)
                for (let x = 0; x < inner; x++) {
                  const at =
                    site === 'pattern' || site === 'scores'
                      ? ((i * b + slot) * c + t) * d + x
                      : ((i * b + t) * c + slot) * d + x;
                  compare(at, data[(head * T + t) * inner + x]);
                }
            });
          expect(worst, name).toBeLessThan(1e-4);
          expect(worstHalf, name).toBeLessThanOrEqual(2 ** -11);
        }
      const logits = numbersOf(files['logits.npy']);
      const vocab = logits.dims[2];
      const start = (i * 10 + T - 1) * vocab;
      const off = alone.logits
        .subarray((T - 1) * vocab)
        .map((x, v) => Math.abs(x - logits.values[start + v]));
      expect(Math.max(...off)).toBeLessThan(1e-4);
      if (T < 10) expect(logits.values[start + vocab]).toBe(0);
    }
    await workbench.close();
  });

  const shapeOf = (layers: number, heads: number, sites: Site[]): ModelShape => ({
    layers,
    heads: Array<number>(layers).fill(heads),
    kvHeads: Array<number>(layers).fill(heads),
    headDim: Array<number>(layers).fill(64),
    dModel: 64 * heads,
    vocab: 100,
    causal: Array<boolean>(layers).fill(true),
    sites: Array<Site[]>(layers).fill(sites),
  });
  const unused = (): Promise<never> => Promise.reject(new Error('not asked for in a capture'));

  it('of half a gigabyte takes little memory, and each part is written once', async () => {
    const tokens = 1024;
    const heads = 4;
    const shape = shapeOf(2, heads, ['pattern']);
    const pattern = new Float32Array(heads * tokens * tokens);
    let asked = 0;
    const runner: Runner = {
      shape,
      unembed: unused,
      unembedFrozen: unused,
      outputWeights: unused,
      run(request, onRow) {
        asked++;
        // Rows come in any order.
        for (let index = request.rows.length - 1; index >= 0; index--) {
          pattern[0] = index + 1;
          pattern[pattern.length - 1] = -index - 1;
          onRow({
            index,
            ids: request.rows[index].ids,
            logits: new Float32Array(0),
            changes: [],
            tap: () => ({ dims: [heads, tokens, tokens], data: pattern }),
            summaries: () => {
              throw new Error('not asked for');
            },
            thumbnails: () => {
              throw new Error('not asked for');
            },
          });
        }
        return Promise.resolve();
      },
    };
    const prompts = Array.from({ length: 16 }, () => ({ ids: new Array<number>(tokens).fill(0) }));
    const plan = planCapture(runner, prompts, { sites: ['pattern'] });
    expect(plan.bytes).toBe(2 ** 29);
    expect(plan.runs).toBe(1);
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    let written = 0;
    let largest = 0;
    await captureNpz(
      runner,
      prompts,
      { sites: ['pattern'] },
      {
        write(bytes) {
          written += bytes.length;
          largest = Math.max(largest, bytes.length);
          most = Math.max(most, process.memoryUsage().arrayBuffers - before);
        },
      },
    );
    expect(asked).toBe(1);
    expect(written).toBe(plan.fileBytes);
    expect(largest).toBeLessThanOrEqual(2 ** 22);
    expect(most).toBeLessThan(2 ** 25);
  });

  it('of patterns that are too large together takes a few heads a run', async () => {
    const tokens = 3000;
    const shape = shapeOf(2, 9, ['pattern', 'scores']);
    const asked: string[] = [];
    const runner: Runner = {
      shape,
      unembed: unused,
      unembedFrozen: unused,
      outputWeights: unused,
      run(request, onRow) {
        const chosen = new Map(
          request.taps!.map(({ site, layers, heads }) => [`${site}${layers![0]}`, heads!]),
        );
        for (const [key, heads] of chosen) asked.push(`${key}: ${heads.join()}`);
        onRow({
          index: 0,
          ids: request.rows[0].ids,
          logits: new Float32Array(0),
          changes: [],
          tap: (site, layer) => {
            const heads = chosen.get(`${site}${layer}`)!;
            const data = new Float32Array(heads.length * tokens * tokens);
            heads.forEach((head, i) => (data[(i + 1) * tokens * tokens - 1] = 100 * layer + head));
            return { dims: [heads.length, tokens, tokens], data };
          },
          summaries: () => {
            throw new Error('not asked for');
          },
          thumbnails: () => {
            throw new Error('not asked for');
          },
        });
        return Promise.resolve();
      },
    };
    const prompts = [{ ids: new Array<number>(tokens).fill(0) }];
    const settings = { sites: ['pattern', 'scores'] as const, heads: [0, 2, 3, 4, 5, 6, 8], half: true };
    const plan = planCapture(runner, prompts, settings);
    const wanted = new Map<number, number>();
    const last = tokens * tokens * 2;
    const file = {
      write(bytes: Uint8Array, position: number) {
        const halves = new Uint16Array(bytes.slice(0, bytes.length - (bytes.length % 2)).buffer);
        halves.forEach((half, i) => {
          if (half !== 0 && bytes.length > 1e5) wanted.set(position + 2 * i, halfToNumber(half));
        });
      },
    };
    await captureNpz(runner, prompts, settings, file);
    expect(plan.runs).toBe(6);
    expect(asked).toEqual(
      [0, 1].flatMap((layer) =>
        ['0,2,3', '4,5,6', '8'].flatMap((heads) => [`pattern${layer}: ${heads}`, `scores${layer}: ${heads}`]),
      ),
    );
    // The last number of each head's square, at its place.
    const found = [...wanted].sort(([a], [b]) => a - b);
    expect(found.map(([, value]) => value)).toEqual([
      ...[2, 3, 4, 5, 6, 8, 2, 3, 4, 5, 6, 8], // head 0 of layer 0 is marked by 0
      ...[100, 102, 103, 104, 105, 106, 108, 100, 102, 103, 104, 105, 106, 108],
    ]);
    expect(found[1][0] - found[0][0]).toBe(last);
  });

  it('says how much it takes before it runs', () => {
    const runner = { shape: shapeOf(32, 32, ['pattern', 'z']) } as Runner;
    const prompts = [{ ids: new Array<number>(4096).fill(0) }, { ids: [1] }];
    const whole = planCapture(runner, prompts, { sites: ['pattern'] });
    expect(whole.bytes).toBe(2 * 32 * 32 * 4096 ** 2 * 4);
    expect(whole.fileBytes - whole.bytes).toBeLessThan(50_000);
    // A head's pattern takes 64 MiB a prompt: four heads a run.
    expect(whole.runs).toBe((32 * 32) / 4);
    expect(whole.memory).toBe(2 * 256 * 2 ** 20);
    const half = planCapture(runner, prompts, { sites: ['pattern'], half: true });
    expect(half.bytes).toBe(whole.bytes / 2);
    expect(half.arrays.every(({ type }) => type === 'float16')).toBe(true);
    // z of a layer takes 32 MiB a prompt: eight layers a run.
    const z = planCapture(runner, prompts, { sites: ['z'] });
    expect(z.runs).toBe(4);
    expect(z.memory).toBe(2 * 256 * 2 ** 20);
  });

  it('of results and logits of long prompts takes some positions a run', () => {
    const shape = { ...shapeOf(2, 64, ['result']), vocab: 128_000 };
    const prompts = [{ ids: new Array<number>(4096).fill(0) }];
    // 64 heads × 4,096 numbers take 1 MiB a position, and 4 GiB a layer.
    const results = planCapture({ shape } as Runner, prompts, { sites: ['result'] });
    expect(results.bytes).toBe(2 * 2 ** 32);
    expect(results.runs).toBe(2 * 16);
    expect(results.memory).toBe(2 * 256 * 2 ** 20);
    const logits = planCapture({ shape } as Runner, prompts, { sites: ['logits'] });
    expect(logits.bytes).toBe(4 * 4096 * 128_000);
    expect(logits.runs).toBe(8);
    expect(logits.memory).toBeLessThanOrEqual(2 * 256 * 2 ** 20);
  });
});

describe('a file that is written at any place', () => {
  it('is there whole or not at all', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'headscope-placed-'));
    try {
      const target = path.join(folder, 'a.bin');
      await writePlacedAtomic(target, 6, (file) => {
        file.write(Uint8Array.of(5, 6), 4);
        file.write(Uint8Array.of(1), 0);
        expect(existsSync(target)).toBe(false);
        return Promise.resolve();
      });
      expect([...readFileSync(target)]).toEqual([1, 0, 0, 0, 5, 6]);
      await expect(
        writePlacedAtomic(path.join(folder, 'b.bin'), 6, () => Promise.reject(new Error('stopped'))),
      ).rejects.toThrow('stopped');
      expect(readdirSync(folder)).toEqual(['a.bin']);
      await expect(checkRoom(target, 2 ** 60)).rejects.toMatchObject({ code: 'disk-full', exit: 1 });
      await checkRoom(target, 1000);
      expect(statSync(target).size).toBe(6);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
