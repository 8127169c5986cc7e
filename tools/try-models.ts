import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { trialTable } from './try-models/table.ts';
import { tryModel, type Trial } from './try-models/trial.ts';

/**
 * Opens every .onnx file below a folder as `headscope inspect` does and prints what was found, as a table or, with --json, file by file:
 *
 *     npx vite build --ssr tools/try-models.ts --outDir out/tools && node out/tools/try-models.js FOLDER [--json]
 *
 * The first folder below FOLDER names the source of a file. Ends with status 1 when a file failed with anything but a named reason.
 */
const [folder, ...options] = process.argv.slice(2);
if (folder === undefined) {
  console.error('Say which folder holds the .onnx files.');
  process.exit(2);
}
const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.onnx')).sort();
const trials: Trial[] = [];
for (const name of names) {
  const file = name.split(path.sep).join('/');
  trials.push({ ...(await tryModel(path.join(folder, name))), file });
}
console.log(options.includes('--json') ? JSON.stringify(trials, null, 2) : trialTable(trials));
process.exit(trials.some(({ outcome }) => outcome === 'failed') ? 1 : 0);
