/**
 * Settings of ONNX Runtime for a graph that is to be loaded fast and small: weights are used where they lie in their file. Otherwise every matrix is
 * copied into the order that products like best, and a transposed one twice; that takes as much memory as the weights and most of the time of
 * loading, and makes runs of short prompts a third faster.
 */
export const BRIEF_OPTIONS = {
  session: { disable_prepacking: '1' },
  optimization: { disable_specified_optimizers: 'ConstantFolding' },
} as const;
