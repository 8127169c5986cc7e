import type { PieceModel } from '../model.ts';

/** The first ids of XLM-RoBERTa, whatever the model file says (tokenization_xlm_roberta.py in Hugging Face transformers). */
const FIRST = ['<s>', '<pad>', '</s>', '<unk>'];

/** Whether the pieces begin as those of XLM-RoBERTa's file do. */
export function hasFairseqPieces({ tokens }: PieceModel): boolean {
  return ['<unk>', '<s>', '</s>'].every((token, id) => tokens[id] === token);
}

/** The same pieces with the ids XLM-RoBERTa gives them: four of its own, all others one higher, `<mask>` at the end. */
export function fairseqNumbering(model: PieceModel): PieceModel {
  const tokens = [...FIRST, ...model.tokens.slice(3), '<mask>'];
  const idOf = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (token !== undefined) idOf.set(token, id);
  });
  return { ...model, tokens, idOf, unk: 3 };
}
