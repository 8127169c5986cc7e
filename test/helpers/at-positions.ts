import type { RunRequest, Site } from '../../src/instrument/runner.ts';
import type { FloatTensor } from '../../src/runtime/device.ts';

/** What a runner that is made of recorded tensors hands over where a request names positions. */
export function atPositions(tensor: FloatTensor, site: Site, { positions }: RunRequest): FloatTensor {
  if (!positions || !/^(z|result|resid_.*)$/.test(site)) return tensor;
  const { dims, data } = tensor;
  const [tokens, width] = dims.slice(-2);
  const groups = data.length / (tokens * width);
  const out = new Float32Array(groups * positions.length * width);
  for (let group = 0; group < groups; group++)
    positions.forEach((t, i) => {
      const from = (group * tokens + t) * width;
      out.set(data.subarray(from, from + width), (group * positions.length + i) * width);
    });
  return { dims: dims.with(-2, positions.length), data: out };
}
