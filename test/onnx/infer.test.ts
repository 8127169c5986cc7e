import { describe, expect, test } from 'vitest';
import { sampleInputs } from '../../src/anatomy/sample-inputs.ts';
import { modelFeeds } from '../../src/instrument/feeds.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';
import { inferShapes, type Known } from '../../src/onnx/infer.ts';
import { DataType, type Model } from '../../src/onnx/model.ts';
import type { Session, Tensor } from '../../src/runtime/device.ts';
import { nodeDevice } from '../../src/runtime/node-cpu.ts';
import { runnable } from '../../src/workbench/open.ts';
import { CHECKPOINTS, checkpointFolder, inspectFolder, variantFolder } from '../helpers/models.ts';

const ONNX_TYPE: Readonly<Record<string, number>> = {
  float32: DataType.float,
  int64: DataType.int64,
  int32: DataType.int32,
  bool: DataType.bool,
  float16: DataType.float16,
  float64: DataType.double,
  uint8: DataType.uint8,
};

/** The model with every value that a node makes as an output. */
function showingAll(model: Model): { model: Model; names: string[] } {
  const own = new Set(model.graph.outputs.map(({ name }) => name));
  const names = model.graph.nodes.flatMap(({ outputs }) => outputs).filter((name) => name !== '');
  // a declaration with a name and nothing else: the runtime works the type out
  const more = names
    .filter((name) => !own.has(name))
    .map((name) => ({ name, elemType: 0, raw: nameOnly(name) }));
  return {
    names,
    model: { ...model, graph: { ...model.graph, outputs: [...model.graph.outputs, ...more] } },
  };
}

function nameOnly(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  if (text.length > 127) throw new Error('the name is too long for a length in one byte');
  return Uint8Array.of(0x0a, text.length, ...text);
}

/** What ONNX Runtime found differently: type, shape or numbers of a value. */
function differences(known: ReadonlyMap<string, Known>, real: Readonly<Record<string, Tensor>>): string[] {
  const wrong: string[] = [];
  for (const [name, { type, dims, data }] of Object.entries(real)) {
    const value = known.get(name);
    if (!value) continue;
    if (value.type !== ONNX_TYPE[type]) wrong.push(`${name}: type ${value.type}, really ${type}`);
    if (value.dims && value.dims.join() !== dims.join())
      wrong.push(`${name}: [${value.dims.join()}], really [${dims.join()}]`);
    const numbers = Array.from(data as ArrayLike<number | bigint>, Number);
    if (value.values && !numbers.every((x, i) => same(x, value.values![i])))
      wrong.push(`${name}: other numbers`);
  }
  return wrong;
}

const same = (a: number, b: number): boolean =>
  Object.is(a, b) ||
  a === b ||
  Math.abs(a - b) <= 1e-5 * Math.max(1, Math.abs(a)) ||
  (Number.isNaN(a) && Number.isNaN(b));

const SIZES = { batch: 2, tokens: 5, source: 4 };
const ROWS = [
  [3, 1, 4, 1, 5],
  [9, 2, 6, 5, 3],
];

describe('every value of the samples has the type, shape and numbers that ONNX Runtime gives it', () => {
  test.each([
    ...CHECKPOINTS.map((name) => checkpointFolder(name)),
    ...['external-data', 'optimum-past', 'ms-mha'].map((name) => variantFolder(name)),
  ])('%s', async (path) => {
    const { folder, checkpoint } = await inspectFolder(path);
    let session: Session | undefined;
    try {
      const { anatomy } = checkpoint;
      for (const one of new Set([checkpoint.original, checkpoint.model])) {
        const { model, names } = showingAll(one);
        session = await nodeDevice('cpu', { threads: 1 }).createSession(runnable(checkpoint, model, 'cpu'));
        const batch = { rows: ROWS.map((ids) => ({ ids })), indices: [0, 1], lengths: [5, 5], width: 5 };
        const real = await session.run(modelFeeds(anatomy, batch), names);
        const known = inferShapes(one, sampleInputs(anatomy.inputs, SIZES));
        expect(differences(known, real)).toEqual([]);
        const shaped = names.filter((name) => known.get(name)?.dims !== undefined).length;
        const valued = names.filter((name) => known.get(name)?.values !== undefined).length;
        console.info(
          `shapes of ${path.split('/').pop()}: ${shaped} of ${names.length} known, numbers of ${valued}`,
        );
        expect(shaped).toBe(names.length);
        // a plain graph is mostly shape arithmetic; one with fused attention has hardly any
        expect(valued).toBeGreaterThan(path.endsWith('ms-mha') ? 0 : names.length / 5);
        await session.release();
        session = undefined;
      }
    } finally {
      await session?.release();
      await folder.close();
    }
  });
});

/** Runs a graph of constants through ONNX Runtime and through shape inference. */
async function both(
  opset: number,
  make: (g: GraphBuilder) => string[],
): Promise<{ wrong: string[]; known: (Known | undefined)[] }> {
  const g = new GraphBuilder({ opset });
  const outputs = make(g);
  const { model, names } = showingAll(g.model());
  const session = await nodeDevice('cpu', { threads: 1 }).createSession({
    graph: new Uint8Array(await encoded(model)),
    weights: [],
  });
  try {
    const real = await session.run({}, names);
    const known = inferShapes(g.model(), new Map());
    return { wrong: differences(known, real), known: outputs.map((name) => known.get(name)) };
  } finally {
    await session.release();
  }
}
async function encoded(model: Model): Promise<Uint8Array> {
  const { writeModel } = await import('../../src/onnx/write.ts');
  return writeModel(model);
}

describe('operators by themselves', () => {
  const f = (g: GraphBuilder, dims: readonly number[], start = -2): string =>
    g.constant(
      Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => start + i * 0.75),
      dims,
    );
  const i64 = (g: GraphBuilder, ...values: number[]): string => g.ints(...values);
  type Case = [string, number, (g: GraphBuilder) => string[], 'numbers' | 'shape'];
  const cases: Case[] = [
    [
      'arithmetic with broadcasting',
      17,
      (g) =>
        ['Add', 'Sub', 'Mul', 'Div', 'Min', 'Max'].map((op) => g.op(op, [f(g, [2, 1, 3]), f(g, [4, 1], 1)])),
      'numbers',
    ],
    [
      'division of whole numbers, which truncates',
      17,
      (g) => [g.op('Div', [i64(g, -7, 7, -8), i64(g, 2, 2, 3)])],
      'numbers',
    ],
    ['remainders', 17, (g) => [g.op('Mod', [i64(g, -7, 7, 8), i64(g, 3, -3, 3)])], 'numbers'],
    [
      'powers and roots',
      17,
      (g) => [
        g.op('Pow', [f(g, [4], 1), g.float(2)]),
        g.op('Sqrt', [f(g, [4], 1)]),
        g.op('Reciprocal', [f(g, [4], 1)]),
      ],
      'numbers',
    ],
    [
      'rounding',
      17,
      (g) => ['Floor', 'Ceil', 'Round', 'Abs', 'Neg', 'Sign'].map((op) => g.op(op, [f(g, [8], -2.25)])),
      'numbers',
    ],
    [
      'comparisons and logic',
      17,
      (g) => {
        const a = g.op('Less', [f(g, [3]), f(g, [2, 1], -1)]);
        const b = g.op('GreaterOrEqual', [f(g, [3]), g.float(-1.25)]);
        return [
          a,
          b,
          g.op('And', [a, b]),
          g.op('Or', [a, b]),
          g.op('Xor', [a, b]),
          g.op('Not', [a]),
          g.op('Where', [a, f(g, [3]), g.float(9)]),
        ];
      },
      'numbers',
    ],
    [
      'casts',
      17,
      (g) => [
        g.op('Cast', [f(g, [6])], { to: 7 }),
        g.op('Cast', [f(g, [6])], { to: 9 }),
        g.op('Cast', [i64(g, -1, 0, 300)], { to: 1 }),
      ],
      'numbers',
    ],
    [
      'shape, in part and whole',
      17,
      (g) => [
        g.op('Shape', [f(g, [2, 3, 4])]),
        g.op('Shape', [f(g, [2, 3, 4])], { start: 1 }),
        g.op('Shape', [f(g, [2, 3, 4])], { start: -2, end: -1 }),
        g.op('Size', [f(g, [2, 3, 4])]),
      ],
      'numbers',
    ],
    [
      'gather along axes, with negative indices',
      17,
      (g) => [
        g.op('Gather', [f(g, [3, 4]), i64(g, -1, 0)]),
        g.op('Gather', [f(g, [3, 4]), g.int(2)], { axis: 1 }),
        g.op('Gather', [f(g, [3, 4]), g.constant(BigInt64Array.of(0n, 1n, -1n, 2n), [2, 2])], { axis: -1 }),
      ],
      'numbers',
    ],
    [
      'gather of single numbers',
      17,
      (g) => [
        g.op('GatherElements', [f(g, [3, 2]), g.constant(BigInt64Array.of(0n, 1n, -1n, 0n), [2, 2])], {
          axis: 0,
        }),
      ],
      'numbers',
    ],
    [
      'slices: steps, backwards, beyond the end',
      17,
      (g) => [
        g.op('Slice', [f(g, [5, 4]), i64(g, 1, -3), i64(g, 9, -1), i64(g, 0, 1)]),
        g.op('Slice', [f(g, [5, 4]), i64(g, 4), i64(g, -9), i64(g, 0), i64(g, -2)]),
        g.op('Slice', [f(g, [5, 4]), i64(g, 3), i64(g, 1)]),
      ],
      'numbers',
    ],
    [
      'slices of old graphs',
      9,
      (g) => [g.op('Slice', [f(g, [5, 4])], { starts: [1, 0], ends: [3, -1], axes: [0, 1] })],
      'numbers',
    ],
    [
      'reshapes with 0 and −1',
      17,
      (g) => [
        g.op('Reshape', [f(g, [2, 3, 4]), i64(g, 0, -1)]),
        g.op('Reshape', [f(g, [2, 3, 4]), i64(g, 4, 3, 2)]),
      ],
      'numbers',
    ],
    [
      'transposes',
      17,
      (g) => [
        g.op('Transpose', [f(g, [2, 3, 4])]),
        g.op('Transpose', [f(g, [2, 3, 4])], { perm: [1, 2, 0] }),
      ],
      'numbers',
    ],
    [
      'joins and parts',
      17,
      (g) => [
        g.op('Concat', [f(g, [2, 1, 2]), f(g, [2, 3, 2])], { axis: 1 }),
        g.op('Concat', [f(g, [2, 2]), f(g, [1, 2])], { axis: -2 }),
        ...g.ops('Split', [f(g, [5, 2]), i64(g, 1, 4)], { axis: 0 }, 2),
      ],
      'numbers',
    ],
    ['even parts', 18, (g) => g.ops('Split', [f(g, [7])], { axis: 0, num_outputs: 3 }, 3), 'numbers'],
    [
      'axes in and out',
      17,
      (g) => [
        g.op('Unsqueeze', [f(g, [2, 3]), i64(g, 0, -1)]),
        g.op('Squeeze', [f(g, [1, 2, 1])]),
        g.op('Squeeze', [f(g, [1, 2, 1]), i64(g, -1)]),
        g.op('Flatten', [f(g, [2, 3, 4])], { axis: 2 }),
      ],
      'numbers',
    ],
    [
      'axes of old graphs',
      11,
      (g) => [
        g.op('Unsqueeze', [f(g, [2, 3])], { axes: [1] }),
        g.op('Squeeze', [f(g, [1, 2])], { axes: [0] }),
      ],
      'numbers',
    ],
    [
      'expansion and tiles',
      17,
      (g) => [g.op('Expand', [f(g, [3, 1]), i64(g, 2, 1, 4)]), g.op('Tile', [f(g, [2, 2]), i64(g, 2, 3)])],
      'numbers',
    ],
    [
      'constants, ranges, triangles',
      17,
      (g) => [
        g.op('ConstantOfShape', [i64(g, 2, 3)]),
        g.op('Range', [g.int(7), g.int(-2), g.int(-2)]),
        g.op('Range', [g.float(0), g.float(1), g.float(0.3)]),
        g.op('Trilu', [f(g, [2, 3, 4])], { upper: 0 }),
        g.op('Trilu', [f(g, [3, 4]), g.int(1)]),
      ],
      'numbers',
    ],
    [
      'running sums',
      17,
      (g) => [g.op('CumSum', [f(g, [2, 3]), g.int(1)]), g.op('CumSum', [f(g, [2, 3]), g.int(-2)])],
      'numbers',
    ],
    [
      'clipping',
      17,
      (g) => [g.op('Clip', [f(g, [6]), g.float(-1), g.float(1)]), g.op('Clip', [f(g, [6]), '', g.float(0)])],
      'numbers',
    ],
    [
      'reductions by axes given as input',
      18,
      (g) =>
        [
          'ReduceSum',
          'ReduceMean',
          'ReduceMax',
          'ReduceMin',
          'ReduceProd',
          'ReduceL1',
          'ReduceL2',
          'ReduceSumSquare',
          'ReduceLogSumExp',
        ].map((op) => g.op(op, [f(g, [2, 3, 4]), i64(g, 0, -1)], { keepdims: 0 })),
      'numbers',
    ],
    [
      'reductions by axes given as attribute',
      13,
      (g) => ['ReduceMean', 'ReduceMax', 'ReduceL2'].map((op) => g.op(op, [f(g, [2, 3, 4])], { axes: [1] })),
      'numbers',
    ],
    [
      'reductions of everything',
      17,
      (g) => [g.op('ReduceMax', [f(g, [2, 3])]), g.op('ReduceSum', [f(g, [2, 3])], { keepdims: 0 })],
      'numbers',
    ],
    [
      'products',
      17,
      (g) => [
        g.op('MatMul', [f(g, [2, 1, 3, 4]), f(g, [5, 4, 2])]),
        g.op('MatMul', [f(g, [4]), f(g, [4, 2])]),
        g.op('MatMul', [f(g, [3, 4]), f(g, [4])]),
        g.op('Gemm', [f(g, [4, 3]), f(g, [2, 4])], { transA: 1, transB: 1 }),
        g.op('Einsum', [f(g, [2, 3, 4]), f(g, [2, 5, 4])], { equation: 'bij,bkj->bki' }),
      ],
      'shape',
    ],
    [
      'norms and choices',
      17,
      (g) => [
        g.op('LayerNormalization', [f(g, [2, 4]), f(g, [4])], { axis: -1 }),
        g.op('Softmax', [f(g, [2, 4])]),
        ...g.ops('TopK', [f(g, [2, 4]), i64(g, 3)], {}, 2),
        g.op('ArgMax', [f(g, [2, 4])], { axis: 1, keepdims: 0 }),
        g.op('OneHot', [i64(g, 1, 0), g.int(3), f(g, [2])], { axis: 0 }),
        g.op('GatherND', [f(g, [2, 3, 4]), g.constant(BigInt64Array.of(0n, 1n), [2, 1])], { batch_dims: 1 }),
      ],
      'shape',
    ],
  ];
  test.each(cases)('%s (opset %i)', async (_, opset, make, what) => {
    const { wrong, known } = await both(opset, make);
    expect(wrong).toEqual([]);
    for (const value of known) expect(what === 'numbers' ? value?.values : value?.dims).toBeDefined();
  });
});
