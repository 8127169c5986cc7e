import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { GraphBuilder, tensorProto } from '../../src/onnx/build.ts';
import { lacksKernel } from '../../src/onnx/gpu/kernels.ts';
import { DataType } from '../../src/onnx/model.ts';
import type { ElementType } from '../../src/runtime/device.ts';
import { hasSoftwareGpu, placeEnvironment } from '../../tools/placement/placement-of.ts';
import { inRepository } from '../helpers/models.ts';

const OPSET = 21;
const TYPES = ['float32', 'bool', 'int32', 'int64', 'uint8'] as const;
const CODES = { ...DataType, float32: DataType.float };
const EMPTY: Partial<Record<ElementType, Float32Array | BigInt64Array | Int32Array | Uint8Array>> = {
  float32: new Float32Array(1),
  int64: new BigInt64Array(1),
  int32: new Int32Array(1),
};

/** A graph with every operator that the table speaks of, on data of each type; its nodes are named by both. */
function everyOperator(): GraphBuilder {
  const g = new GraphBuilder({ opset: OPSET });
  const index = g.input('index', 'int64', ['n', 4]);
  for (const type of TYPES) {
    const x = g.input(`x_${type}`, type, ['n', 4]);
    const y = g.input(`y_${type}`, type, ['n', 4]);
    const truths = g.input(`truths_${type}`, 'bool', ['n', 4]);
    const add = (
      opType: string,
      inputs: readonly string[],
      attributes: Parameters<GraphBuilder['op']>[2] = {},
      result: ElementType = type,
    ): void => {
      const value = g.op(opType, inputs, attributes);
      g.graph.nodes[g.graph.nodes.length - 1].name = `asked ${opType} ${type}`;
      g.output(value, result);
    };
    const indices = g.axes('Unsqueeze', index, [2]);
    add('Slice', [x, g.ints(0), g.ints(2), g.ints(1)]);
    add('Expand', [x, g.ints(3, 1, 4)]);
    add('Concat', [x, y], { axis: 0 });
    add('Unsqueeze', [x, g.ints(0)]);
    add('Transpose', [x], { perm: [1, 0] });
    add('Gather', [x, index]);
    add('GatherND', [x, indices]);
    add('GatherElements', [x, index]);
    add('Tile', [x, g.ints(2, 2)]);
    add('Where', [truths, x, y]);
    add('Equal', [x, y], {}, 'bool');
    add('Trilu', [x]);
    add(
      'Cast',
      [x],
      { to: type === 'float32' ? DataType.int32 : DataType.float },
      type === 'float32' ? 'int32' : 'float32',
    );
    add('ConstantOfShape', [g.op('Shape', [x])], {
      value: { tensor: tensorProto('', EMPTY[type] ?? new Uint8Array(1), [1], type) },
    });
    if (type === 'bool') {
      for (const opType of ['And', 'Or', 'Xor']) add(opType, [x, y]);
      add('Not', [x]);
      continue;
    }
    for (const opType of ['Add', 'Sub', 'Mul', 'Min', 'Max']) add(opType, [x, y]);
    if (type === 'uint8') continue;
    for (const opType of ['Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'])
      add(opType, [x, y], {}, 'bool');
    add('ReduceSum', [x, g.ints(1)]);
    add('ReduceMax', [x, g.ints(1)]);
    add('CumSum', [x, g.int(1)]);
    add('Neg', [x]);
    add('Abs', [x]);
    add('Clip', [x]);
    const scalar = g.op('Gather', [g.op('Reshape', [x, g.ints(-1)]), g.int(0)]);
    add('Range', [scalar, scalar, scalar]);
    if (type !== 'float32') continue;
    for (const opType of ['IsNaN', 'IsInf']) add(opType, [x], {}, 'bool');
    for (const opType of [
      'Round',
      'Sign',
      'Softsign',
      'Selu',
      'LogSoftmax',
      'Hardmax',
      'Sum',
      'Mean',
      'Erf',
      'Exp',
      'Softmax',
    ])
      add(opType, [x]);
    add('NonZero', [x], {}, 'int64');
  }
  return g;
}

it.skipIf(!hasSoftwareGpu)('the table of missing kernels is what the runtime says', () => {
  const scratch = mkdtempSync(path.join(tmpdir(), 'kernels-'));
  try {
    const g = everyOperator();
    const graph = path.join(scratch, 'model.onnx');
    writeFileSync(graph, g.encode());
    const { stderr } = spawnSync(
      process.execPath,
      [
        inRepository('tools/placement/place.mjs'),
        JSON.stringify({ graph, folder: scratch, onCpu: [], plain: true }),
      ],
      { encoding: 'utf8', maxBuffer: 1 << 28, env: placeEnvironment(true) },
    );
    const missing = [...stderr.matchAll(/kernel not found in registries .* node name: asked (\w+ \w+)/g)];
    const said = [...new Set(missing.map(([, name]) => name))].sort();
    const asked = g.graph.nodes
      .filter(({ name }) => name.startsWith('asked '))
      .map(({ name }) => name.slice(6));
    const table = asked.filter((name) => {
      const [opType, type] = name.split(' ');
      return lacksKernel(opType, CODES[type as (typeof TYPES)[number]]);
    });
    expect(asked.length).toBeGreaterThan(100);
    expect(said).toEqual(table.sort());
  } finally {
    rmSync(scratch, { recursive: true });
  }
});
