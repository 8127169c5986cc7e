import { DataType } from '../../onnx/model.ts';
import { floatOf, intOf, numberAs, type Rule } from './rule.ts';

/**
 * com.microsoft.FusedMatMul: a product with transposed operands and a factor, as ONNX Runtime's optimiser writes scores
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.FusedMatMul).
 */
export const fusedMatMul: Rule = {
  opType: 'FusedMatMul',
  domain: 'com.microsoft',
  rewrite(node, { g, known }) {
    /** An operand as a plain product reads it: [batch …, rows, columns]. */
    const operand = (at: 0 | 1, transposed: boolean, batchLast: boolean): string | undefined => {
      const value = node.inputs[at];
      if (!transposed && !batchLast) return value;
      const rank = known.get(value)?.dims?.length;
      if (rank === undefined || rank < 2) return undefined;
      const axes = Array.from({ length: rank }, (_, i) => i);
      // the first axis may stand for the rows, with the batch between it and the columns
      const rowsFirst = batchLast ? [...axes.slice(1, -1), 0, rank - 1] : axes;
      const [rows, columns] = rowsFirst.slice(-2);
      const perm = transposed ? [...rowsFirst.slice(0, -2), columns, rows] : rowsFirst;
      return g.op('Transpose', [value], { perm });
    };
    const flag = (name: string): boolean => intOf(node, name, 0) === 1;
    const a = operand(0, flag('transA'), flag('transBatchA'));
    const b = operand(1, flag('transB'), flag('transBatchB'));
    if (a === undefined || b === undefined) return 'the shape of what it multiplies could not be worked out';
    const alpha = floatOf(node, 'alpha', 1);
    if (alpha === 1) g.op('MatMul', [a, b], {}, node.outputs[0]);
    else {
      const factor = numberAs(g, alpha, known.get(node.inputs[0])?.type ?? DataType.float);
      g.op('Mul', [g.op('MatMul', [a, b]), factor], {}, node.outputs[0]);
    }
    return undefined;
  },
};
