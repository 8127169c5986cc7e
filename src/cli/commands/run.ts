import { idsWithoutText, predict } from '../../workbench/predict.ts';
import { HeadscopeError } from '../../errors.ts';
import { asChat, withWorkbench, type CommonOptions } from '../context.ts';
import { printable, textTable } from '../output.ts';

export async function run(
  target: string,
  options: CommonOptions & { prompt?: string; chat?: boolean; top: number },
): Promise<void> {
  await withWorkbench(target, options, async (workbench, output) => {
    const prompt = options.prompt ?? (idsWithoutText(workbench) ? '' : undefined);
    if (prompt === undefined) throw new HeadscopeError('bad-option', 'Give the prompt with --prompt "text".');
    const asked = asChat(options.chat, workbench.tokenizer, prompt);
    const document = await predict({ ...workbench, tokenizer: asked.tokenizer }, asked.prompt, options.top);
    if (document.unknown.length)
      output.note(`warning: not in the vocabulary: ${document.unknown.map(printable).join(' ')}`);
    output.document(document, () =>
      [
        `${document.tokens.length} tokens: ${document.tokens.map(({ token }) => printable(token)).join('|')}`,
        '',
        document.predictions
          ? textTable(
              ['next token', 'id', 'logit', 'probability'],
              document.predictions.map((p) => [p.token, p.id, p.logit, p.probability]),
            )
          : 'This model gives no logits, so there are no predictions.',
        '',
        textTable(
          ['head', 'entropy (bits)', 'previous', 'first', 'distance', 'most attended'],
          document.heads.map((h) => [
            h.name,
            h.entropyBits,
            h.previousToken,
            h.firstToken,
            h.distance,
            h.mostAttended
              ? `${h.mostAttended.position} ${h.mostAttended.token} (${h.mostAttended.meanReceived.toFixed(2)})`
              : null,
          ]),
        ),
      ].join('\n'),
    );
  });
}
