import { embedLayerNormalization } from './embed-layer-normalization.ts';
import { fusedMatMul } from './fused-mat-mul.ts';
import { groupQueryAttention } from './group-query-attention.ts';
import { ifBranch } from './if-branch.ts';
import { loop, scan } from './repeated-body.ts';
import { multiHeadAttention } from './multi-head-attention.ts';
import { INTEGER_OPERATORS } from './integer-operators.ts';
import { LEFT_AS_THEY_ARE } from './left-as-they-are.ts';
import { packedAttention, quantisedAttention } from './packed-attention.ts';
import type { Rule } from './rule.ts';
import { standardAttention } from './standard-attention.ts';
import { skipLayerNormalization, skipSimplifiedLayerNormalization } from './skip-layer-normalization.ts';

/** Every fused operator that is known, most of which can be written in their parts; a new one is one more file and one more line here. */
export const RULES: readonly Rule[] = [
  multiHeadAttention,
  groupQueryAttention,
  packedAttention,
  quantisedAttention,
  standardAttention,
  skipLayerNormalization,
  skipSimplifiedLayerNormalization,
  embedLayerNormalization,
  fusedMatMul,
  ifBranch,
  loop,
  scan,
  ...INTEGER_OPERATORS,
  ...LEFT_AS_THEY_ARE,
];
