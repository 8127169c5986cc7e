import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { MENU_TABLE } from '../../src/workbench/menu-table.ts';
import { inRepository } from '../helpers/models.ts';

it('has an action for every entry of the menus', () => {
  const folder = inRepository('renderer/actions');
  const code = readdirSync(folder)
    .map((name) => readFileSync(`${folder}/${name}`, 'utf8'))
    .join('\n');
  const pages = [...code.matchAll(/^ {2}\['(\w+)', '\w+'\],$/gm)].map(([, page]) => `view.${page}`);
  const themes = [...code.matchAll(/theme\('(\w+)',/g)].map(([, choice]) => `view.theme-${choice}`);
  const kinds = [...code.matchAll(/^ {2}(\w+): '[^']+…',$/gm)].map(([, kind]) => `report.export-${kind}`);
  const named = [...code.matchAll(/\bid: '([\w.-]+)'/g)].map(([, id]) => id);
  const known = new Set([...pages, ...themes, ...kinds, ...named]);
  expect(MENU_TABLE.map(({ id }) => id).filter((id) => !known.has(id))).toEqual([]);
});
