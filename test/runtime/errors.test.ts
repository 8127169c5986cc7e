import { expect, it } from 'vitest';
import { runtimeError } from '../../src/runtime/ort-session.ts';

it.each([
  ['a crashed WebAssembly module', new WebAssembly.RuntimeError('unreachable'), 'engine-stopped'],
  ['memory that ran out', new Error('std::bad_alloc'), 'out-of-memory'],
  ['a missing graphics card', new Error('Failed to get a WebGPU adapter.'), 'no-gpu'],
  ['anything else', new Error('Shape mismatch\nat node 3'), 'run-failed'],
])('%s has a code of its own', (_what, cause, code) => {
  const error = runtimeError('run-failed', cause);
  expect(error).toMatchObject({ code, cause });
  expect(error.message).not.toContain('\n');
});
