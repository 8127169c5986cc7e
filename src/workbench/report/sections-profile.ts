import { profileHeads } from '../../analysis/profile/profile.ts';
import { headName, type RunOptions } from '../../instrument/runner.ts';
import { section, table, type Section } from '../../report/index.ts';
import { specialIds } from '../special-ids.ts';
import type { Workbench } from '../workbench.ts';
import { headGrid } from './head-grid.ts';

/** What every head does on random repeated text. */
export async function profileSection(
  workbench: Workbench,
  seed: number,
  options: RunOptions,
): Promise<Section> {
  const { runner } = workbench.opened;
  const { bos, special } = specialIds(workbench);
  const context = workbench.checkpoint.anatomy.context ?? Infinity;
  const length = Math.min(20, Math.floor((context - 1) / 2));
  const document = await profileHeads(runner, { length, seed, bos, special }, options);
  const at = new Map(document.heads.map((head) => [head.name, head]));
  const by = (role: string): string[] =>
    document.heads.filter((head) => head.role === role && !head.idle).map((head) => head.name);
  const sentence = (role: string, words: string): string => {
    const heads = by(role);
    return heads.length
      ? `${words}: ${heads.slice(0, 8).join(', ')}${heads.length > 8 ? ` and ${heads.length - 8} more` : ''}.`
      : `No clear ${words.toLowerCase().replace(/s$/, '')}.`;
  };
  const idle = document.heads.filter((head) => head.idle).length;
  const used = {
    prompts: `${document.settings.segments} random segments of ${document.settings.length} tokens, each repeated twice`,
  };
  const grid = (
    id: string,
    title: string,
    caption: string,
    key: 'induction' | 'previousToken' | 'duplicateToken',
  ) =>
    headGrid(runner.shape, {
      id,
      title,
      caption,
      scale: { label: 'Attention', domain: [0, 1] },
      value: (l, h) => at.get(headName({ layer: l, head: h }))?.[key],
      context: used,
    });
  return section({
    id: 'profile',
    title: 'Head profiles',
    summary: [
      sentence('induction', 'Induction heads'),
      sentence('previous-token', 'Previous-token heads'),
      sentence('duplicate-token', 'Duplicate-token heads'),
      idle ? `${idle} heads write next to nothing here, whatever they attend to.` : '',
    ]
      .filter(Boolean)
      .join(' '),
    figures: [
      grid(
        'induction',
        'Induction score',
        'Mean attention from a repeated token to the token after its earlier occurrence.',
        'induction',
      ),
      grid('previous', 'Previous-token score', 'Mean A[q, q−1].', 'previousToken'),
      grid(
        'duplicate',
        'Duplicate-token score',
        'Mean attention to earlier occurrences of the same token.',
        'duplicateToken',
      ),
    ],
    tables: [
      table({
        id: 'heads',
        title: 'Scores of every head',
        columns: [
          { label: 'Head', kind: 'text' },
          { label: 'Induction', kind: 'number', decimals: 3 },
          { label: 'Previous', kind: 'number', decimals: 3 },
          { label: 'Duplicate', kind: 'number', decimals: 3 },
          { label: 'Entropy', unit: 'bits', kind: 'number', decimals: 2 },
          { label: 'Distance', unit: 'tokens', kind: 'number', decimals: 2 },
          { label: 'First token', kind: 'number', decimals: 3 },
          { label: 'Effective rank', kind: 'number', decimals: 1 },
          { label: 'Copying', kind: 'number', decimals: 3 },
          { label: 'Matching', unit: 'sd', kind: 'number', decimals: 2 },
          { label: 'Looks like', kind: 'text' },
        ],
        rows: document.heads.map((h) => [
          h.name,
          h.induction,
          h.previousToken,
          h.duplicateToken,
          h.entropy,
          h.distance,
          h.first,
          h.effectiveRank,
          h.copying,
          h.matching,
          h.idle ? `${h.role ?? ''} (idle)`.trim() : (h.role ?? ''),
        ]),
      }),
    ],
    warnings: [...document.notes],
  });
}
