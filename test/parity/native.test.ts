import { describe, expect, test } from 'vitest';
import { readGolden } from '../helpers/golden.ts';
import { CHECKPOINTS, checkpointFolder, openFolder, variantFolder } from '../helpers/models.ts';
import { compareWithGolden } from './compare-golden.ts';

const MODELS = [
  ...CHECKPOINTS.map((name) => ({ name, folder: checkpointFolder(name), golden: `${name}` })),
  ...['external-data', 'optimum-past', 'ms-mha'].map((name) => ({
    name: `ioi-4l as ${name}`,
    folder: variantFolder(name),
    golden: 'ioi-4l',
  })),
];

describe('native CPU: every tap equals what PyTorch computed', () => {
  test.each(MODELS)('$name', async ({ name, folder, golden }) => {
    const opened = await openFolder(folder);
    try {
      const errors = await compareWithGolden(opened.runner, readGolden(golden));
      console.info(`parity, native, ${name}: max abs error ${errors.text}`);
      expect(errors.worst).toBeLessThanOrEqual(1e-4);
      expect(opened.measured?.maxAbs).toBeLessThanOrEqual(1e-4);
    } finally {
      await opened.closeAll();
    }
  });
});
