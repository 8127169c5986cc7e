import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** What an Electron program carries so that its fuses can be found: the sentinel, a version, a count, and one byte for each. */
const FUSES = Buffer.concat([
  Buffer.from('dL7pKGdnNz796PbbjQWNKmHXBZaB9tsX'),
  Buffer.from([1, 9]),
  Buffer.from('101110100', 'latin1'),
]);

/** A folder that electron-builder takes for Electron's own, without Electron in it. */
export function standInElectron(folder: string, version: string): void {
  mkdirSync(path.join(folder, 'locales'), { recursive: true });
  mkdirSync(path.join(folder, 'resources'));
  const program = path.join(folder, 'electron');
  writeFileSync(program, Buffer.concat([Buffer.from('#!/bin/sh\nexit 0\n'), FUSES]));
  chmodSync(program, 0o755);
  for (const name of ['LICENSE', 'LICENSES.chromium.html', 'chrome-sandbox', 'chrome_crashpad_handler'])
    writeFileSync(path.join(folder, name), name);
  writeFileSync(path.join(folder, 'version'), version);
  for (const language of ['en-US', 'de']) writeFileSync(path.join(folder, 'locales', `${language}.pak`), '');
}
