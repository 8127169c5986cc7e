import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readAnatomy } from '../../src/anatomy/read-anatomy.ts';
import { unfuse } from '../../src/anatomy/unfuse/unfuse.ts';
import { HeadscopeError } from '../../src/errors.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { checkModel } from '../../src/onnx/check.ts';

const wanted = Number(process.env.HEADSCOPE_FUZZ ?? 0);
const settings = wanted > 0 ? { numRuns: wanted } : { numRuns: 400, seed: 20260102 };
const MOST_MS = 2000;

/** The operators whose results are worked out for a sample prompt, and some names that are none. */
const OPERATORS =
  `Add Sub Mul Div Mod Pow Min Max And Equal Less Greater Not Where Neg Sqrt Cast CastLike Clip Shape Size Constant ConstantOfShape
  Range Reshape Flatten Transpose Concat Split Slice Gather GatherElements GatherND Unsqueeze Squeeze Expand Tile Trilu CumSum TopK
  ArgMax OneHot ScatterND Softmax Softcap LayerNormalization MatMul Gemm Einsum ReduceSum ReduceMean ReduceMax ReduceProd Dropout
  Identity If toString constructor`.split(/\s+/);

/** Operators that are rewritten into their parts. */
const FUSED =
  `MultiHeadAttention GroupQueryAttention Attention SkipLayerNormalization SkipSimplifiedLayerNormalization
  EmbedLayerNormalization FusedMatMul`.split(/\s+/);

const number = fc.oneof(
  fc.integer({ min: -3, max: 9 }),
  fc.constantFrom(0, 1, -1, 31, 64, 1 << 17, 2 ** 31, 2 ** 40, -(2 ** 40), 2 ** 53),
);
const attributes = fc.dictionary(
  fc.constantFrom(
    'axis',
    'axes',
    'perm',
    'keepdims',
    'to',
    'start',
    'end',
    'split',
    'starts',
    'ends',
    'k',
    'equation',
    'num_heads',
    'allowzero',
    'batch_dims',
    'upper',
    'shape',
    'value_int',
    'value_ints',
    'transB',
    'kv_num_heads',
    'unidirectional',
    'do_rotary',
    'qkv_hidden_sizes',
    'local_window_size',
    'transBatchA',
  ),
  fc.oneof(
    number,
    fc.array(number, { maxLength: 5 }),
    fc.constantFrom('ij,jk->ik', 'ab', '->', 'aa->a', ','),
  ),
  { maxKeys: 3, noNullPrototype: true },
);
const nodes = fc.array(
  fc.record({
    op: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...OPERATORS) }, fc.constantFrom(...FUSED)),
    inputs: fc.array(fc.nat({ max: 1000 }), { maxLength: 8 }),
    outputs: fc.integer({ min: 1, max: 3 }),
    attributes,
  }),
  { minLength: 1, maxLength: 14 },
);
const constants = fc.array(fc.array(number, { maxLength: 6 }), { minLength: 1, maxLength: 6 });

test(
  'graphs of operators put together at random are understood or refused',
  { timeout: 60_000 + wanted * 200 },
  async () => {
    await fc.assert(
      fc.asyncProperty(nodes, constants, async (list, stored) => {
        const g = new GraphBuilder({ opset: 17 });
        const values = [
          g.input('x', 'float32', ['batch', 'tokens', 4]),
          g.input('ids', 'int64', ['batch', 'tokens']),
          '',
        ];
        for (const numbers of stored)
          values.push(g.ints(...numbers), g.constant(Float32Array.from(numbers), [numbers.length, 1]));
        if (stored[0].length) values.push(g.int(stored[0][0]));
        for (const { op, inputs, outputs, attributes: given } of list) {
          const from = inputs.map((at) => values[at % values.length]);
          const domain = FUSED.includes(op) ? 'com.microsoft' : '';
          values.push(...g.ops(op, from, given, outputs, domain));
        }
        g.output(values[values.length - 1], 'float32');
        const start = process.cpuUsage();
        try {
          const model = g.model();
          checkModel(model);
          const { model: plain, nodes: fused } = unfuse(model);
          await readAnatomy(plain, new Map(), fused);
        } catch (error) {
          if (!(error instanceof HeadscopeError)) throw error;
        }
        const { user, system } = process.cpuUsage(start);
        expect((user + system) / 1000).toBeLessThan(MOST_MS);
      }),
      settings,
    );
  },
);
