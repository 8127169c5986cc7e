import { profileHeads } from '../../analysis/profile/profile.ts';
import { specialIds } from '../../workbench/special-ids.ts';
import { withWorkbench, type CommonOptions } from '../context.ts';
import { printable, textTable } from '../output.ts';

export async function profile(
  target: string,
  options: CommonOptions & { segments: number; length?: number },
): Promise<void> {
  await withWorkbench(target, options, async (workbench, output) => {
    const { runner } = workbench.opened;
    const context = workbench.checkpoint.anatomy.context ?? Infinity;
    const { bos, special } = specialIds(workbench);
    // [bos] segment segment must fit into the context
    const length = options.length ?? Math.min(20, Math.floor((context - 1) / 2));
    const bar = output.progress('profile');
    const document = await profileHeads(
      runner,
      { segments: options.segments, length, seed: options.seed, bos, special },
      { onProgress: bar.update },
    );
    bar.end();
    output.document(document, () =>
      [
        textTable(
          [
            'head',
            'induction',
            'previous',
            'duplicate',
            'entropy (bits)',
            'distance',
            'first',
            'rank',
            'copying',
            'matching',
            'looks like',
          ],
          document.heads.map((h) => [
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
            h.idle ? `${h.role ?? ''} (idle)`.trim() : h.role,
          ]),
        ),
        ...document.notes.map((note) => `note: ${printable(note)}`),
      ].join('\n\n'),
    );
  });
}
