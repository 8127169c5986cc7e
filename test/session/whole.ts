import { heatmap, table } from '../../src/report/index.ts';
import { emptySession, type SessionDocument } from '../../src/workbench/session/schema.ts';

export const figure = heatmap({
  id: 'entropy',
  title: 'Entropy of every head',
  caption: 'Rows are layers.',
  rows: { label: 'Layer', names: ['0', '1'] },
  columns: { label: 'Head', names: ['0', '1'] },
  values: Float32Array.from([0.1, 0.2, 0.3, 0.4]),
  scale: { label: 'entropy', unit: 'nats' },
});

/** A session with something of everything. */
export const whole: SessionDocument = {
  ...emptySession(),
  checkpoint: {
    name: 'ioi-4l',
    file: 'model.onnx',
    reference: 'sample:ioi-4l',
    hashes: { files: [{ name: 'model.onnx', bytes: 3, sha256: 'ab' }], sha256: 'cd' },
  },
  device: 'cpu',
  prompts: [
    {
      id: 'p1',
      text: 'When Mary <img src=x onerror=alert(1)>',
      label: 'clean',
      answers: [' Mary'],
      distractors: [' John'],
      focus: [1, 3],
      source: 'Was Maria?',
      inputs: { pixel_values: 'aa' },
    },
  ],
  inputs: {
    arrays: [
      { id: 'aa', file: 'cat.png', content: { kind: 'picture', width: 1, height: 1, rgb: 'AQID' } },
      {
        id: 'bb',
        file: 'mel.npy',
        content: { kind: 'array', type: 'float32', dims: [1], bytes: 'AACAPw==' },
      },
      { id: 'cc', file: 'big.npy', content: { kind: 'elsewhere', type: 'float32', dims: [1, 9] } },
    ],
    given: { input_features: 'bb' },
    asked: true,
  },
  active: 'p1',
  sets: [{ id: 's1', name: 'own', origin: 'own', items: [{ prompt: 'a', answer: ' b' }] }],
  edits: [
    { id: 'e1', on: true, spec: { kind: 'ablate', head: { layer: 1, head: 2 }, mode: 'mean' } },
    { id: 'e2', on: false, spec: { kind: 'act', heads: [{ layer: 0, head: 1 }], alpha: 3, beta: 0.4 } },
  ],
  results: [
    {
      id: 'x1',
      kind: 'sinks',
      title: 'Sinks',
      made: '2026-01-01T00:00:00Z',
      settings: { alpha: 3 },
      data: { a: [1] },
    },
  ],
  report: {
    title: 'What the heads do',
    items: [
      {
        id: 'r1',
        title: 'Entropy',
        note: 'Look.',
        content: { type: 'figure', figure },
        context: { prompt: 'When', device: 'CPU' },
      },
      { id: 'r2', title: 'Words', note: '', content: { type: 'text', text: 'One.\n\nTwo.' } },
      {
        id: 'r3',
        title: 'Heads',
        note: '',
        content: {
          type: 'table',
          table: table({
            id: 'heads',
            title: 'Heads',
            columns: [{ label: 'head', kind: 'text' }],
            rows: [['L0H1']],
          }),
        },
      },
    ],
  },
  view: {
    page: 'report',
    metric: 'entropy',
    head: { layer: 1, head: 1 },
    views: { report: { tab: 'preview' } },
  },
};
