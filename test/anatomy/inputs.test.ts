import { describe, expect, it } from 'vitest';
import type { InputRole } from '../../src/anatomy/anatomy.ts';
import { GraphIndex } from '../../src/anatomy/graph-index.ts';
import { readFixedSizes, readInputs } from '../../src/anatomy/inputs.ts';
import { GraphBuilder } from '../../src/onnx/build.ts';

const table = (g: GraphBuilder, rows: number): string => g.constant(new Float32Array(rows * 4), [rows, 4]);
const look = (g: GraphBuilder, rows: number, at: string): string =>
  g.op('Gather', [table(g, rows), at], { axis: 0 });

/** Roles of the inputs of a graph, by name. */
function rolesOf(build: (g: GraphBuilder) => void): Map<string, InputRole> {
  const g = new GraphBuilder({ opset: 14 });
  build(g);
  return new Map(readInputs(new GraphIndex(g.model())).map((input) => [input.name, input]));
}

describe('what inputs are, by what the graph does with them', () => {
  it('words, positions, segments and a mask, whatever they are called', () => {
    const roles = rolesOf((g) => {
      const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => g.input(name, 'int64', ['n', 't']));
      const sum = g.op('Add', [g.op('Add', [look(g, 100, a), look(g, 50, b)]), look(g, 2, c)]);
      const mask = g.op('Mul', [g.op('Sub', [g.float(1), g.op('Cast', [d], { to: 1 })]), g.float(-1e4)]);
      g.output(g.op('Add', [sum, g.axes('Unsqueeze', mask, [2])]), 'float32');
    });
    expect([...roles.values()].map(({ role }) => role)).toEqual(['tokens', 'positions', 'segments', 'mask']);
  });

  it('positions that become angles', () => {
    const roles = rolesOf((g) => {
      const x = look(g, 100, g.input('x', 'int64', ['n', 't']));
      const at = g.op('Cast', [g.axes('Unsqueeze', g.input('at', 'int64', ['n', 't']), [2])], { to: 1 });
      g.output(g.op('Mul', [x, g.op('Cos', [g.op('Mul', [at, g.float(0.1)])])]), 'float32');
    });
    expect(roles.get('at')?.role).toBe('positions');
  });

  it('positions for all prompts at once', () => {
    const build = (dims: (string | number)[]) => (g: GraphBuilder) => {
      const x = look(g, 100, g.input('input_ids', 'int64', ['n', 't']));
      g.output(g.op('Add', [x, look(g, 60, g.input('position', 'int64', dims))]), 'float32');
    };
    expect(rolesOf(build(['t'])).get('position')).toMatchObject({ role: 'positions', shared: 1 });
    expect(rolesOf(build([1, 't'])).get('position')).toMatchObject({ role: 'positions', shared: 2 });
    expect(rolesOf(build(['n', 't'])).get('position')).not.toHaveProperty('shared');
  });

  it('a mask counted into positions is a mask', () => {
    const roles = rolesOf((g) => {
      const x = look(g, 100, g.input('input_ids', 'int64', ['n', 't']));
      const mask = g.input('m', 'int64', ['n', 't']);
      const counted = g.op('Sub', [g.op('CumSum', [mask, g.int(1)]), g.int(1)]);
      g.output(g.op('Add', [x, look(g, 60, counted)]), 'float32');
    });
    expect(roles.get('m')?.role).toBe('mask');
  });

  it('a cache that new keys are joined to, in one tensor or in two', () => {
    const roles = rolesOf((g) => {
      const x = look(g, 100, g.input('input_ids', 'int64', ['batch', 't']));
      const keys = g.op('Transpose', [g.op('Reshape', [x, g.ints(0, 0, 2, 2)])], { perm: [0, 2, 1, 3] });
      const one = g.input('k', 'float32', ['batch', 2, 'p', 2]);
      const both = g.input('kv', 'float32', [2, 'batch', 2, 'p', 2]);
      g.output(g.op('Concat', [one, keys], { axis: 2 }), 'float32');
      g.output(
        g.op('Concat', [g.op('Gather', [both, g.int(0)], { axis: 0 }), keys], { axis: -2 }),
        'float32',
      );
    });
    expect(roles.get('k')).toMatchObject({ role: 'past', dims: ['batch', 2, 0, 2] });
    expect(roles.get('kv')).toMatchObject({ role: 'past', dims: [2, 'batch', 2, 0, 2] });
  });

  it("an encoder's states, their mask and finished keys cannot be fed", () => {
    const roles = rolesOf((g) => {
      const x = look(g, 100, g.input('input_ids', 'int64', ['batch', 't']));
      const states = g.input('encoder_hidden_states', 'float32', ['batch', 's', 4]);
      const mask = g.input('encoder_attention_mask', 'int64', ['batch', 's']);
      const keys = g.input('past_key_values.0.encoder.key', 'float32', ['batch', 2, 'encoder_length', 2]);
      const weights = g.op('MatMul', [x, g.op('Transpose', [states], { perm: [0, 2, 1] })]);
      g.output(g.op('Add', [weights, g.axes('Unsqueeze', g.op('Cast', [mask], { to: 1 }), [1])]), 'float32');
      g.output(g.op('Transpose', [keys], { perm: [0, 1, 3, 2] }), 'float32');
    });
    expect(roles.get('encoder_hidden_states')).toMatchObject({
      role: 'unknown',
      measures: ['batch', 'source', 4],
    });
    expect(roles.get('encoder_attention_mask')).toMatchObject({
      role: 'unknown',
      measures: ['batch', 'source'],
    });
    expect(roles.get('past_key_values.0.encoder.key')).toMatchObject({
      role: 'unknown',
      measures: ['batch', 2, 'source', 2],
    });
  });

  it('a second text is not positions', () => {
    const roles = rolesOf((g) => {
      const words = table(g, 100);
      const of = (name: string): string =>
        g.op('Gather', [words, g.input(name, 'int64', ['batch', `${name}_length`])], { axis: 0 });
      g.output(g.op('Concat', [of('input_ids'), of('decoder_input_ids')], { axis: 1 }), 'float32');
    });
    expect(roles.get('input_ids')?.role).toBe('tokens');
    expect(roles.get('decoder_input_ids')?.role).toBe('unknown');
  });

  it('flags and counts that are off or 0', () => {
    const roles = rolesOf((g) => {
      const x = look(g, 100, g.input('input_ids', 'int64', ['batch', 't']));
      const keep = g.op('Neg', [g.input('num_logits_to_keep', 'int64', [])]);
      const last = g.op('Slice', [x, g.axes('Unsqueeze', keep, [0]), g.ints(1 << 30), g.ints(1)]);
      g.input('use_cache_branch', 'bool', [1]);
      g.output(last, 'float32');
    });
    expect(roles.get('num_logits_to_keep')).toMatchObject({ role: 'flag', dims: [] });
    expect(roles.get('use_cache_branch')).toMatchObject({ role: 'flag', dims: [1] });
  });

  it('sizes that cannot change', () => {
    const g = new GraphBuilder({ opset: 14 });
    g.output(look(g, 100, g.input('input_ids', 'int64', [1, 16])), 'float32');
    const index = new GraphIndex(g.model());
    expect(readFixedSizes(index, readInputs(index))).toEqual({ batch: 1, tokens: 16 });
  });
});
