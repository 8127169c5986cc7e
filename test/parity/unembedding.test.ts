import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runAll } from '../../src/instrument/runner.ts';
import { readGolden } from '../helpers/golden.ts';
import { CHECKPOINTS, checkpointFolder, openFolder, type Opened } from '../helpers/models.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';
import { readReference, type Place } from '../helpers/packed.ts';

type Reference = Record<string, Record<'vectors' | 'reference' | 'unembed' | 'unembedFrozen', Place>>;
const reference = readReference<Reference>('parity');

describe.each(CHECKPOINTS)('%s: final norm and unembedding', (name) => {
  const golden = readGolden(name);
  let model: Opened;
  beforeAll(async () => void (model = await openFolder(checkpointFolder(name))));
  afterAll(() => model.closeAll());

  test('the final residual stream gives the logits', async () => {
    const errors = new Errors();
    for (const p of golden.prompts.keys()) {
      const residual = golden.tensor(`p${p}.resid.${golden.layers}`);
      const { dims, data } = await model.runner.unembed(residual);
      const logits = golden.tensor(`p${p}.logits`);
      expect(dims).toEqual(logits.dims);
      errors.add('logits', maxAbs(data, logits.data));
    }
    console.info(`parity, ${name}, unembed: ${errors.text}`);
    expect(errors.worst).toBeLessThanOrEqual(1e-4);
  });

  test('any vectors give what a plain model gives, with its own norm and with a frozen one', async () => {
    const { vectors, reference: to, unembed, unembedFrozen } = reference.document[name];
    const rows = reference.array(vectors);
    const plain = await model.runner.unembed(rows);
    const frozen = await model.runner.unembedFrozen(rows, reference.array(to));
    const errors = new Errors();
    errors.add('unembed', maxAbs(plain.data, reference.array(unembed).data));
    errors.add('unembedFrozen', maxAbs(frozen.data, reference.array(unembedFrozen).data));
    console.info(`parity, ${name}: ${errors.text}`);
    expect(errors.worst).toBeLessThanOrEqual(1e-4);
  });

  test('frozen contributions add up to the difference between two words, up to the biases', async () => {
    // The stream is the embedding plus what each block adds: a linear map of the parts must sum to the map of the whole.
    const [ids] = golden.prompts;
    const taps = [{ site: 'resid_pre' as const }, { site: 'resid_post' as const }];
    const [row] = await runAll(model.runner, { rows: [{ ids }], taps });
    const { dModel, vocab } = model.runner.shape;
    const last = (values: Float32Array): Float32Array => values.slice((ids.length - 1) * dModel);
    const stream = Array.from({ length: golden.layers }, (_, layer) =>
      last(row.tap('resid_pre', layer).data),
    );
    stream.push(last(row.tap('resid_post', golden.layers - 1).data));
    const parts = stream.map((x, i) => (i === 0 ? x : x.map((value, d) => value - stream[i - 1][d])));
    const whole = stream[stream.length - 1];
    const { data } = await model.runner.unembedFrozen(
      { dims: [parts.length, dModel], data: Float32Array.from(parts.flatMap((part) => [...part])) },
      { dims: [parts.length, dModel], data: Float32Array.from(parts.flatMap(() => [...whole])) },
    );
    const bias = await biasLogits(model, dModel, vocab);
    const sums = Array.from(row.logits, (_, token) =>
      parts.reduce((sum, _p, i) => sum + data[i * vocab + token], bias[token]),
    );
    const error = maxAbs(sums, row.logits);
    console.info(`parity, ${name}, frozen parts sum to the logits: ${error.toExponential(1)}`);
    expect(error).toBeLessThanOrEqual(1e-4);
  });
});

/** Logits of the zero vector: the norm of nothing is its bias, so what comes out are the additive terms. */
async function biasLogits(model: Opened, dModel: number, vocab: number): Promise<Float32Array> {
  const { data } = await model.runner.unembed({ dims: [1, dModel], data: new Float32Array(dModel) });
  expect(data.length).toBe(vocab);
  return data;
}
