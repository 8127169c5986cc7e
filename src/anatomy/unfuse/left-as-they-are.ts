import type { Rule } from './rule.ts';

const ONE_TOKEN =
  'it reads one token at a time behind a cache, and whole prompts are run here; open the decoder without a cache, or the merged one';
const END_TO_END = 'it lays prompts end to end without padding, and ONNX Runtime has it for CUDA alone';

/** Fused operators that are not written in their parts, each with its reason. */
const REASONS: Readonly<Record<string, string>> = {
  DecoderMaskedMultiHeadAttention: ONE_TOKEN,
  DecoderMaskedSelfAttention: ONE_TOKEN,
  DecoderAttention:
    'it switches between a cache and new keys by inputs of its own; export the model again without beam search',
  PackedAttention: END_TO_END,
  PackedMultiHeadAttention: END_TO_END,
  PagedAttention: 'it reads keys from pages of a server’s cache; open a model exported without paging',
  LongformerAttention:
    'its pattern is a band around each token and the columns of global tokens, not a matrix, and ONNX Runtime has it for CUDA alone',
  SparseAttention: 'its pattern has blocks that are left out, listed in a sparse format that is not read',
  LinearAttention: 'it has no softmax, so there is no pattern in it',
  QOrderedAttention:
    'it keeps its integers in an order of NVIDIA hardware, and ONNX Runtime has it for CUDA alone',
};

export const LEFT_AS_THEY_ARE: readonly Rule[] = Object.entries(REASONS).map(([opType, why]) => ({
  opType,
  domain: 'com.microsoft',
  rewrite: () => why,
}));
