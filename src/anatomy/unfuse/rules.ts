import { embedLayerNormalization } from './embed-layer-normalization.ts';
import { fusedMatMul } from './fused-mat-mul.ts';
import { groupQueryAttention } from './group-query-attention.ts';
import { ifBranch } from './if-branch.ts';
import { multiHeadAttention } from './multi-head-attention.ts';
import { packedAttention } from './packed-attention.ts';
import type { Rule } from './rule.ts';
import { standardAttention } from './standard-attention.ts';
import { skipLayerNormalization, skipSimplifiedLayerNormalization } from './skip-layer-normalization.ts';

/** Every fused operator that can be written in its parts; a new one is one more file and one more line here. */
export const RULES: readonly Rule[] = [
  multiHeadAttention,
  groupQueryAttention,
  packedAttention,
  standardAttention,
  skipLayerNormalization,
  skipSimplifiedLayerNormalization,
  embedLayerNormalization,
  fusedMatMul,
  ifBranch,
];
