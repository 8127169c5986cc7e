/*
 * Draws the application icon and its rasters from one description: node tools/icons/make.mjs [path of a Chromium]
 * An attention pattern: rows are queries, the first column is a sink, the diagonal beside it a head that looks one token back.
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';

const SIZE = 1024;
const ROWS = 5;
const CELL = 124;
const STEP = 142;
const LEFT = 166;

const colourOf = (row, column) => {
  if (column === 0) return '#ffb454';
  if (column === row - 1) return '#5ad1c8';
  return '#31475c';
};

const cells = Array.from({ length: ROWS }, (_, row) =>
  Array.from({ length: row + 1 }, (_, column) => {
    const place = `x="${LEFT + column * STEP}" y="${LEFT + row * STEP}" width="${CELL}" height="${CELL}"`;
    return `  <rect ${place} rx="26" fill="${colourOf(row, column)}"/>`;
  }),
).flat();

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE} ${SIZE}">
  <rect x="64" y="64" width="896" height="896" rx="200" fill="#152130"/>
${cells.join('\n')}
</svg>
`;

const folder = path.resolve(import.meta.dirname, '../../assets/icons');
const sizes = [16, 24, 32, 48, 64, 128, 256, 512, 1024];

const browser = await chromium.launch({
  executablePath: process.argv[2] ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
});
const page = await browser.newPage();
const pngs = new Map();
for (const size of sizes) {
  await page.setViewportSize({ width: size, height: size });
  await page.setContent(
    `<style>body{margin:0}svg{display:block;width:${size}px;height:${size}px}</style>${svg}`,
  );
  pngs.set(size, await page.screenshot({ omitBackground: true }));
}
await browser.close();

/** A Windows icon: a directory of PNG pictures. */
function ico(pictures) {
  const head = Buffer.alloc(6 + 16 * pictures.length);
  head.writeUInt16LE(1, 2);
  head.writeUInt16LE(pictures.length, 4);
  let offset = head.length;
  pictures.forEach((size, i) => {
    const at = 6 + 16 * i;
    head[at] = head[at + 1] = size % 256; // 0 means 256
    head.writeUInt16LE(1, at + 4);
    head.writeUInt16LE(32, at + 6);
    head.writeUInt32LE(pngs.get(size).length, at + 8);
    head.writeUInt32LE(offset, at + 12);
    offset += pngs.get(size).length;
  });
  return Buffer.concat([head, ...pictures.map((size) => pngs.get(size))]);
}

/** An Apple icon: PNG pictures behind four-letter types. */
function icns(types) {
  const parts = types.flatMap(([type, size]) => {
    const head = Buffer.alloc(8);
    head.write(type, 'latin1');
    head.writeUInt32BE(8 + pngs.get(size).length, 4);
    return [head, pngs.get(size)];
  });
  const head = Buffer.alloc(8);
  head.write('icns', 'latin1');
  head.writeUInt32BE(8 + parts.reduce((sum, part) => sum + part.length, 0), 4);
  return Buffer.concat([head, ...parts]);
}

writeFileSync(path.join(folder, 'headscope.svg'), svg);
writeFileSync(path.join(folder, 'headscope.ico'), ico([16, 24, 32, 48, 64, 128, 256]));
writeFileSync(
  path.join(folder, 'headscope.icns'),
  icns([
    ['ic07', 128],
    ['ic08', 256],
    ['ic09', 512],
    ['ic10', 1024],
    ['ic11', 32],
    ['ic12', 64],
    ['ic13', 256],
    ['ic14', 512],
  ]),
);
for (const size of [16, 32, 48, 64, 128, 256, 512])
  writeFileSync(path.join(folder, `${size}x${size}.png`), pngs.get(size));
