import type { Known } from '../onnx/infer.ts';
import type { InputRole } from './anatomy.ts';

/** Numbers worth giving to an input; a file may ask for any size. */
const MAX_NUMBERS = 1 << 17;

/** How much is fed: prompts, tokens each, and positions of an encoder's output. */
export interface Sizes {
  readonly batch: number;
  readonly tokens: number;
  readonly source: number;
}

/** What the inputs look like for prompts of some size: shapes, and numbers where they are known. */
export function sampleInputs(roles: readonly InputRole[], sizes: Sizes): Map<string, Known> {
  const { batch, tokens } = sizes;
  const known = new Map<string, Known>();
  for (const input of roles) {
    const whole = (dims: readonly number[], value: (i: number) => number): Known => {
      const length = dims.reduce((product, dim) => product * dim, 1);
      const values = length <= MAX_NUMBERS ? Float64Array.from({ length }, (_, i) => value(i)) : undefined;
      return { type: input.type, dims, values };
    };
    known.set(input.name, sampleInput(input, whole, batch, tokens, sizes));
  }
  return known;
}

function sampleInput(
  input: InputRole,
  whole: (dims: readonly number[], value: (i: number) => number) => Known,
  batch: number,
  tokens: number,
  sizes: Sizes,
): Known {
  const shared = 'shared' in input ? input.shared : undefined;
  const rows = shared === 1 ? [tokens] : [shared === 2 ? 1 : batch, tokens];
  switch (input.role) {
    case 'tokens':
      return { type: input.type, dims: [batch, tokens] };
    case 'mask':
      return whole(rows, () => 1);
    case 'positions':
      return whole(rows, (i) => i % tokens);
    case 'segments':
      return whole(rows, () => 0);
    case 'past':
      return whole(
        input.dims.map((dim) => (dim === 'batch' ? batch : dim)),
        () => 0,
      );
    case 'flag':
      return whole(input.dims, () => 0);
    case 'unknown':
      return {
        type: input.type,
        dims: input.measures?.map((measure) => (typeof measure === 'number' ? measure : sizes[measure])),
      };
  }
}
