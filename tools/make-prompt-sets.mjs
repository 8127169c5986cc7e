// Writes the prompt sets of the sample checkpoints (assets/checkpoints/*/tasks/*.jsonl) from their circuit.json and golden prompts.
// Run from the repository root: node tools/make-prompt-sets.mjs
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

const root = 'assets/checkpoints';
const json = (path) => JSON.parse(readFileSync(path, 'utf8'));
const write = (model, name, items) => {
  mkdirSync(`${root}/${model}/tasks`, { recursive: true });
  writeFileSync(`${root}/${model}/tasks/${name}.jsonl`, items.map((item) => `${JSON.stringify(item)}\n`).join(''));
};

for (const model of ['ioi-4l', 'llama-tiny']) {
  for (const [task, { pairs }] of Object.entries(json(`${root}/${model}/circuit.json`).tasks)) {
    const items = pairs.map(({ positive, negative, answer, wrong }) => ({
      prompt: positive,
      corrupt: negative,
      answer,
      distractor: wrong,
      metric: task === 'greater_than' ? 'probability-difference' : 'logit-difference',
    }));
    write(model, task.replace('_', '-'), items);
  }
}
for (const model of ['sink-3l', 'sink-delim-2l', 'induction-2l']) {
  write(model, 'prompts', json(`test/golden/${model}/golden.json`).prompts.map(({ text }) => ({ prompt: text })));
}
