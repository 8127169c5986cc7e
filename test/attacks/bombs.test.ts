import { describe, expect, test } from 'vitest';
import { HeadscopeError } from '../../src/errors.ts';
import { GraphBuilder, valueInfo } from '../../src/onnx/build.ts';
import { bytesSource } from '../../src/onnx/source.ts';
import { readAnatomy } from '../../src/anatomy/read-anatomy.ts';
import { unfuse } from '../../src/anatomy/unfuse/unfuse.ts';
import { checkModel } from '../../src/onnx/check.ts';
import { readModel } from '../../src/onnx/read.ts';

/** Processor time and memory that looking at one graph may take. */
const MOST_MS = 2000;
const MOST_MB = 600;

/** Reads, checks and understands a model; it may be refused, but by us, soon, and without taking the memory. */
async function survives(g: GraphBuilder): Promise<string> {
  const bytes = g.encode();
  const memory = process.memoryUsage().rss;
  const start = process.cpuUsage();
  let outcome = 'read';
  try {
    const model = await readModel(bytesSource('bomb.onnx', bytes));
    checkModel(model);
    const { model: plain, nodes } = unfuse(model);
    const { blocks } = await readAnatomy(plain, new Map(), nodes);
    if (blocks.length) outcome = `${blocks.length} blocks`;
  } catch (error) {
    expect(error).toBeInstanceOf(HeadscopeError);
    outcome = (error as HeadscopeError).code;
  }
  const { user, system } = process.cpuUsage(start);
  expect((user + system) / 1000).toBeLessThan(MOST_MS);
  expect((process.memoryUsage().rss - memory) / 2 ** 20).toBeLessThan(MOST_MB);
  return outcome;
}

function builder(): GraphBuilder {
  const g = new GraphBuilder({ opset: 17 });
  g.input('x', 'float32', ['batch', 'tokens', 8]);
  g.input('ids', 'int64', ['batch', 'tokens']);
  return g;
}
const times = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

/** Softmax(q·kᵀ)·v of x with what lies between put in by the caller. */
function attention(
  g: GraphBuilder,
  between: (scores: string) => string,
  after = (pattern: string) => pattern,
): string {
  const split = (value: string): string =>
    g.op('Transpose', [g.op('Reshape', [g.op('Mul', [value, g.float(2)]), g.ints(0, 0, 2, 4)])], {
      perm: [0, 2, 1, 3],
    });
  const keys = g.op('Transpose', [split('x')], { perm: [0, 1, 3, 2] });
  const pattern = after(g.op('Softmax', [between(g.op('MatMul', [split('x'), keys]))], { axis: -1 }));
  const z = g.op('MatMul', [pattern, split('x')]);
  const merged = g.op('Reshape', [g.op('Transpose', [z], { perm: [0, 2, 1, 3] }), g.ints(0, 0, 8)]);
  return g.op('MatMul', [merged, g.constant(new Float32Array(64).fill(0.1), [8, 8])]);
}

describe('orders and scopes', () => {
  test('a long chain in the wrong order', async () => {
    const g = builder();
    const last = times(10_000, (i) => g.op('Neg', [i ? `v${i - 1}` : 'x'], {}, `v${i}`)).at(-1)!;
    g.graph.nodes.reverse();
    g.output(last, 'float32');
    expect(await survives(g)).toBe('read');
  });

  test('nodes that each wait for all before them, last first', async () => {
    const g = builder();
    for (let i = 0; i < 400; i++) g.op('Sum', ['x', ...times(i, (j) => `v${j}`)], {}, `v${i}`);
    g.graph.nodes.reverse();
    g.output('v399', 'float32');
    expect(await survives(g)).toBe('read');
  });

  test('one value that 10 000 nodes wait for', async () => {
    const g = builder();
    const made = times(9_000, (i) => `v${i}`);
    g.output(g.op('Sum', made), 'float32');
    for (const name of made) g.op('Neg', ['x'], {}, name);
    expect(await survives(g)).toBe('read');
  });

  test('thousands of branches inside a graph of many names', async () => {
    const g = builder();
    times(10_000, (i) => g.op('Neg', ['x'], {}, `v${i}`));
    const on = g.constant(Uint8Array.of(1), [], 'bool');
    for (let i = 0; i < 1_000; i++) {
      const branch = (): GraphBuilder => {
        const body = g.subgraph();
        body.output(body.op('Neg', [`v${i}`]), 'float32');
        return body;
      };
      g.op('If', [on], { then_branch: branch(), else_branch: branch() }, `if${i}`);
    }
    g.output('if0', 'float32');
    expect(await survives(g)).toBe('read');
  });

  test('branches in branches, each full of nodes', async () => {
    const nest = (outer: GraphBuilder, depth: number): GraphBuilder => {
      const body = outer.subgraph();
      const last = times(500, (i) => i).reduce((value) => body.op('Neg', [value]), 'x');
      const on = body.constant(Uint8Array.of(1), [], 'bool');
      const more = depth ? [nest(body, depth - 1), nest(body, 0)] : undefined;
      const end = more ? body.op('If', [on], { then_branch: more[0], else_branch: more[1] }) : last;
      body.output(end, 'float32');
      return body;
    };
    const g = builder();
    const on = g.constant(Uint8Array.of(1), [], 'bool');
    g.output(g.op('If', [on], { then_branch: nest(g, 6), else_branch: nest(g, 0) }), 'float32');
    expect(await survives(g)).toBe('read');
  });
});

describe('attention that leads in circles', () => {
  test('scores that come back to themselves in 8^12 ways', async () => {
    const g = builder();
    const between = (scores: string): string =>
      times(12, (i) => i).reduce(
        (value) => g.op('Max', new Array<string>(8).fill(value)),
        g.op('Neg', [scores]),
      );
    g.output(attention(g, between), 'float32');
    expect(await survives(g)).toBe('read');
  });

  test('a pattern that goes 12^7 ways to its values', async () => {
    const g = builder();
    const after = (pattern: string): string => {
      let layer = [pattern];
      for (let step = 0; step < 7; step++)
        layer = times(12, (i) => g.op('Mul', [layer[i % layer.length], layer[0]]));
      for (const value of layer) g.op('Sigmoid', [value]);
      return g.op('Sigmoid', [layer[0]]);
    };
    g.output(
      attention(g, (scores) => scores, after),
      'float32',
    );
    expect(await survives(g)).toBe('read');
  });

  test('thousands of additions to what a block writes', async () => {
    const g = builder();
    const written = attention(g, (scores) => scores);
    const mid = g.op('Add', ['x', written]);
    for (let i = 0; i < 4_000; i++) g.op('Add', [mid, g.op('Neg', [mid])]);
    g.output(mid, 'float32');
    expect(await survives(g)).toBe('1 blocks');
  });

  test('hundreds of blocks behind a long graph', async () => {
    const g = builder();
    let value = times(5_000, (i) => i).reduce((x) => g.op('Sigmoid', [x]), 'x');
    for (let i = 0; i < 100; i++)
      value = g.op('Add', [
        value,
        attention(g, (scores) => g.op('Add', [scores, g.op('ReduceMax', [value])])),
      ]);
    g.output(value, 'float32');
    expect(await survives(g)).toMatch(/^\d+ blocks$|^too-complex$/);
  });

  test('a chain of 10 000 copies under thousands of norms', async () => {
    const g = builder();
    const copied = times(10_000, (i) => i).reduce((x) => g.op('Identity', [x]), 'x');
    const scale = g.constant(new Float32Array(8), [8]);
    for (let i = 0; i < 1_000; i++) g.op('LayerNormalization', [copied, scale]);
    g.output(
      attention(g, (scores) => scores),
      'float32',
    );
    expect(await survives(g)).toMatch(/^(\d+ blocks|too-complex)$/);
  });

  test('more softmaxes than there are models', async () => {
    const g = builder();
    for (let i = 0; i < 10_001; i++) g.op('Softmax', ['x'], { axis: -1 });
    g.output('x', 'float32');
    expect(await survives(g)).toBe('too-complex');
  });

  test('thousands of lookups and inputs', async () => {
    const g = builder();
    const table = g.constant(new Float32Array(40), [10, 4]);
    for (let i = 0; i < 4_000; i++) g.op('Gather', [table, 'ids']);
    for (let i = 0; i < 3_000; i++) g.graph.inputs.push(valueInfo(`ids${i}`, 'int64', ['batch', 'tokens']));
    const all = g.op(
      'Concat',
      times(3_000, (i) => `ids${i}`),
      { axis: 0 },
    );
    for (let i = 0; i < 2_000; i++) g.op('Cast', [all], { to: 1 });
    g.output(g.op('Gather', [table, all]), 'float32');
    expect(await survives(g)).toMatch(/^(read|too-complex)$/);
  });
});

describe('shapes without end', () => {
  const huge = 2 ** 40;
  const wrong: [string, (g: GraphBuilder) => string][] = [
    ['a tensor of 2^40 ones', (g) => g.op('ConstantOfShape', [g.ints(huge)])],
    ['a tensor of −5 ones', (g) => g.op('ConstantOfShape', [g.ints(-5)])],
    ['an expansion to 2^40', (g) => g.op('Expand', [g.float(1), g.ints(huge)])],
    ['an expansion to −5', (g) => g.op('Expand', [g.float(1), g.ints(-5)])],
    ['2^40 tiles', (g) => g.op('Tile', [g.ints(1), g.ints(huge)])],
    ['−1 tiles', (g) => g.op('Tile', [g.ints(1), g.ints(-1)])],
    ['a range without a step', (g) => g.op('Range', [g.int(0), g.int(5), g.int(0)])],
    ['a range of 2^40', (g) => g.op('Range', [g.int(0), g.int(huge), g.int(1)])],
    [
      'a range from nowhere',
      (g) => g.op('Range', [g.int(0), g.op('Div', [g.float(0), g.float(0)]), g.int(1)]),
    ],
    [
      'a reshape that makes more of it',
      (g) => g.op('Transpose', [g.op('Reshape', [g.ints(1, 2), g.ints(huge, 2)])]),
    ],
    ['a slice along axis 10^9', (g) => g.op('Slice', [g.ints(1, 2), g.ints(0), g.ints(1), g.ints(1e9)])],
    ['a join along axis 10^9', (g) => g.op('Concat', [g.ints(1), g.ints(2)], { axis: 1e9 })],
    [
      'a join of shapes that differ',
      (g) => g.op('Concat', [g.ints(1, 2), g.constant(new BigInt64Array(8), [4, 2])], { axis: 0 }),
    ],
    ['a join of nothing', (g) => g.op('Concat', [], { axis: 0 })],
    ['the largest of nothing', (g) => g.op('Max', [])],
    ['a part of 2^40', (g) => g.ops('Split', [g.ints(1, 2), g.ints(huge, 2)], {}, 2)[0]],
    ['a part of −3', (g) => g.ops('Split', [g.ints(1, 2), g.ints(-3, 5)], {}, 2)[0]],
    [
      '100 000 new axes',
      (g) => g.op('Unsqueeze', [g.float(1), g.op('Range', [g.int(0), g.int(100_000), g.int(1)])]),
    ],
    ['an order of axes that are not there', (g) => g.op('Transpose', [g.ints(1, 2)], { perm: [7] })],
    ['an order of 1000 axes', (g) => g.op('Transpose', [g.ints(1, 2)], { perm: times(1000, () => 0) })],
    ['entries that are not there', (g) => g.op('Gather', [g.ints(1, 2), g.ints(huge, -huge)])],
    [
      'the largest of 131 072 numbers',
      (g) => g.op('ReduceMax', [g.op('ConstantOfShape', [g.ints(1 << 17)])]),
    ],
    ['the shape of a shape of 2^40', (g) => g.op('Shape', [g.op('Expand', ['x', g.ints(huge, huge, huge)])])],
    ['the k best of a fraction', (g) => g.ops('TopK', [g.ints(1, 2), g.ints(-1)], {}, 2)[0]],
    ['an equation of nothing', (g) => g.op('Einsum', [], { equation: 'ab,bc->zz' })],
    [
      'numbers picked along axes that are not there',
      (g) => g.op('GatherElements', [g.ints(1, 2), g.constant(new BigInt64Array(4), [2, 2])], { axis: 9 }),
    ],
    ['one hot among 2^40', (g) => g.op('OneHot', ['ids', g.int(huge), g.ints(0, 1)])],
    ['a sum along axes that are not there', (g) => g.op('ReduceSum', [g.ints(1, 2), g.ints(-9, 1e9)])],
    ['a running sum along axis 10^9', (g) => g.op('CumSum', [g.ints(1, 2), g.int(1e9)])],
    ['a triangle of a number', (g) => g.op('Trilu', [g.float(1), g.int(huge)])],
  ];
  test.each(wrong)('%s', async (_, make) => {
    const g = builder();
    const value = make(g);
    g.output(g.op('Add', [g.op('Transpose', [value]), value]), 'float32');
    expect(await survives(g)).toBe('read');
  });

  test('thousands of tensors that are each just small enough', async () => {
    const g = builder();
    const made = times(4_000, () => g.op('ConstantOfShape', [g.ints(1 << 17)]));
    g.output(
      made.reduce((sum, value) => g.op('Add', [sum, value])),
      'float32',
    );
    expect(await survives(g)).toBe('read');
  });

  test('scores for 2^30 heads', async () => {
    const g = builder();
    const wide = g.op('Expand', ['x', g.ints(1, 1 << 30, 1, 8)]);
    const scores = g.op('MatMul', [wide, g.op('Transpose', [wide], { perm: [0, 1, 3, 2] })]);
    const z = g.op('MatMul', [g.op('Softmax', [scores], { axis: -1 }), wide]);
    g.output(z, 'float32');
    expect(await survives(g)).toMatch(/^(read|1 blocks)$/);
  });

  test('inputs exported for prompts of 2^40 tokens', async () => {
    const g = new GraphBuilder({ opset: 17 });
    g.input('ids', 'int64', [huge, huge]);
    g.input('past', 'float32', [huge, huge, huge]);
    g.input('attention_mask', 'int64', [huge, huge]);
    g.output(g.op('Gather', [g.constant(new Float32Array(40), [10, 4]), 'ids']), 'float32');
    g.op('Sub', [g.int(1), 'attention_mask']);
    expect(await survives(g)).toBe('read');
  });
});
