import type { Anatomy } from '../anatomy/anatomy.ts';
import { HeadscopeError } from '../errors.ts';
import type { Engine } from './engine.ts';
import { givenLength } from './given.ts';
import type { RunRequest } from './runner.ts';

/** True when tokens behind a prompt's end cannot be seen by the prompt, and are not counted either. */
export const hidesPadding = ({ blocks, inputs }: Anatomy): boolean =>
  blocks.every((block) => !block.countsTokens) &&
  (blocks.every((block) => block.causal === true || block.kind === 'cross') ||
    inputs.some((input) => input.role === 'mask'));

/** @throws HeadscopeError `fixed-size`, `empty-prompt`, `no-text`, `too-long`, `bad-token`, naming the prompt */
export function checkRows(engine: Engine, request: RunRequest): void {
  const { context, fixed, inputs } = engine.anatomy;
  const readsText = inputs.some((input) => input.role === 'tokens') || engine.embedding !== undefined;
  if ((fixed?.batch ?? 1) > 1)
    throw new HeadscopeError(
      'fixed-size',
      `The file was exported for exactly ${fixed?.batch} prompts at once. Export it again with a dynamic batch axis.`,
    );
  request.rows.forEach((row, i) => {
    const where = request.rows.length > 1 ? `Prompt ${i + 1}` : 'The prompt';
    if (row.ids.length === 0)
      throw new HeadscopeError('empty-prompt', `${where} is empty. Give at least one token.`);
    const own = readsText
      ? undefined
      : (givenLength(engine.anatomy, { ...engine.given, ...row.given }, 'tokens') ?? fixed?.tokens);
    if (own !== undefined && row.ids.length !== own)
      throw new HeadscopeError(
        'no-text',
        `The model reads no token ids; ${where.toLowerCase()} only counts the ${own} positions of what is fed to it, but has ${row.ids.length}.`,
      );
    if (context !== undefined && row.ids.length > context) {
      throw new HeadscopeError(
        'too-long',
        `${where} has ${row.ids.length} tokens, but the model takes at most ${context}. Shorten it.`,
      );
    }
    if (fixed?.tokens !== undefined && row.ids.length !== fixed.tokens && !hidesPadding(engine.anatomy))
      throw new HeadscopeError(
        'fixed-size',
        `${where} has ${row.ids.length} tokens, but the file was exported for exactly ${fixed.tokens}. Export it again with a dynamic sequence axis.`,
      );
    const wrong = row.ids.find(
      (id) => !Number.isInteger(id) || id < 0 || (engine.shape.vocab > 0 && id >= engine.shape.vocab),
    );
    if (wrong !== undefined)
      throw new HeadscopeError(
        'bad-token',
        `${where} has the token id ${wrong}, but ids go from 0 to ${engine.shape.vocab - 1}.`,
      );
    const beyond = request.positions?.find((at) => !(Number.isInteger(at) && at >= 0 && at < row.ids.length));
    if (beyond !== undefined)
      throw new HeadscopeError(
        'no-position',
        `There is no position ${beyond} in ${where.toLowerCase()}, which has ${row.ids.length} tokens.`,
      );
  });
}
