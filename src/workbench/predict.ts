import { headName, type HeadSummaries, type RunOptions } from '../instrument/runner.ts';
import { encodePrompt } from '../text/prompt.ts';
import { HeadscopeError } from '../errors.ts';
import { topTokens } from '../analysis/lens/distribution.ts';
import type { Workbench } from './workbench.ts';

/**
 * A prompt's tokens with what the tokenizer could not write. Without text: the positions of a model that reads none, or what a decoder starts with.
 * @throws HeadscopeError `empty-prompt`
 */
export function promptOf(
  workbench: Workbench,
  text: string,
): { ids: readonly number[]; tokens: string[]; unknown: readonly string[] } {
  const given = text === '' ? idsWithoutText(workbench) : undefined;
  if (given) return { ids: given, tokens: given.map((id) => workbench.tokenizer.token(id)), unknown: [] };
  const encoded = encodePrompt(workbench.tokenizer, text);
  if (encoded.empty)
    throw new HeadscopeError('empty-prompt', 'The prompt is empty. Give some text with --prompt.');
  return { ids: encoded.ids, tokens: encoded.tokens.map((token) => token.text), unknown: encoded.unknown };
}

/** Ids to run when nobody wrote a prompt; undefined when there must be one. */
export function idsWithoutText({ opened, startIds }: Workbench): readonly number[] | undefined {
  const { positions } = opened;
  return positions === undefined ? startIds : Array.from({ length: positions }, (_, i) => i);
}

/** The `run` document: next-token predictions and a summary of every head, computed on the device. */
export async function predict(workbench: Workbench, text: string, top: number, options: RunOptions = {}) {
  const { runner, measured } = workbench.opened;
  const prompt = promptOf(workbench, text);
  let document: Awaited<ReturnType<typeof build>> | undefined;
  const hasLogits = runner.shape.vocab > 0;
  await runner.run(
    { rows: [{ ids: prompt.ids }], summaries: true, logits: hasLogits ? 'last' : 'none' },
    (row) => (document = build(row.logits, row.summaries())),
    options,
  );
  return document!;

  function build(logits: Float32Array, summaries: HeadSummaries) {
    const tokens = prompt.ids.length;
    return {
      prompt: text,
      tokens: prompt.tokens.map((token, position) => ({ position, id: prompt.ids[position], token })),
      unknown: prompt.unknown,
      predictions: hasLogits
        ? topTokens(logits, top).map(({ id, logit, logprob }) => ({
            id,
            token: workbench.tokenizer.token(id),
            logit,
            probability: Math.exp(logprob),
          }))
        : null,
      heads: runner.shape.heads.flatMap((heads, layer) =>
        Array.from({ length: heads }, (_, head) => {
          const received = summaries.received[layer].subarray(head * tokens, (head + 1) * tokens);
          let most = 0;
          for (let k = 1; k < received.length; k++) if (received[k] > received[most]) most = k;
          return {
            layer,
            head,
            name: headName({ layer, head }),
            entropyBits: summaries.entropy[layer][head] ?? null,
            previousToken: summaries.previous[layer][head] ?? null,
            distance: summaries.distance[layer][head] ?? null,
            firstToken: summaries.first[layer][head] ?? null,
            mostAttended: received.length
              ? { position: most, token: prompt.tokens[most], meanReceived: received[most] }
              : null,
          };
        }),
      ),
      device: workbench.opened.device.name,
      measuredError: measured ?? null,
    };
  }
}
