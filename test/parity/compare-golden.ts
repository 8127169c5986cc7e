import { runAll, type Runner } from '../../src/instrument/runner.ts';
import type { Golden } from '../helpers/golden.ts';
import { Errors, maxAbs } from '../helpers/numbers.ts';

/** Captures everything the golden data holds, one prompt at a time, and measures the largest difference of each kind. */
export async function compareWithGolden(runner: Runner, golden: Golden): Promise<Errors> {
  const errors = new Errors();
  const sites = ['pattern', 'z', 'result', 'resid_pre', 'resid_post'] as const;
  for (const [p, ids] of golden.prompts.entries()) {
    const taps = sites.map((site) => ({ site }));
    const [row] = await runAll(runner, { rows: [{ ids }], taps, logits: 'all' });
    const against = (site: (typeof sites)[number], layer: number, name: string): void => {
      const got = row.tap(site, layer);
      const want = golden.tensor(`p${p}.${name}`);
      const sameShape = got.dims.join() === want.dims.join();
      errors.add(site.replace(/_.*/, ''), sameShape ? maxAbs(got.data, want.data) : Infinity);
    };
    for (let layer = 0; layer < golden.layers; layer++) {
      against('pattern', layer, `l${layer}.attn`);
      against('z', layer, `l${layer}.z`);
      against('result', layer, `l${layer}.head_out`);
      against('resid_pre', layer, `resid.${layer}`);
      against('resid_post', layer, `resid.${layer + 1}`);
    }
    const logits = golden.tensor(`p${p}.logits`);
    errors.add('logits', maxAbs(row.logits, logits.data));
    const [last] = await runAll(runner, { rows: [{ ids }] });
    errors.add('last logits', maxAbs(last.logits, logits.data.slice((ids.length - 1) * logits.dims[1])));
  }
  return errors;
}
