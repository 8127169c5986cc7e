/**
 * Effective rank of a square matrix: exp of the entropy of its normalised singular values (Roy & Vetterli 2007), between 1 and
 * its size. An identity has its size, a matrix of equal rows has 1.
 * @param matrix [size, size]
 */
export function effectiveRank(matrix: ArrayLike<number>, size: number): number {
  const values = singularValues(matrix, size);
  const sum = values.reduce((total, value) => total + value, 0);
  if (sum === 0) return 0;
  let entropy = 0;
  for (const value of values) if (value > 0) entropy -= (value / sum) * Math.log(value / sum);
  return Math.exp(entropy);
}

/**
 * Singular values of a square matrix, largest first, by one-sided Jacobi rotations (Hestenes 1958): columns are turned pairwise until
 * all are orthogonal, their lengths are the singular values. Accurate for small ones too, unlike the eigenvalues of MᵀM.
 * @param matrix [size, size] row-major
 */
export function singularValues(matrix: ArrayLike<number>, size: number): Float64Array {
  // Rows of `columns` are the matrix's columns, so that a rotation runs along memory.
  const columns = new Float64Array(size * size);
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) columns[j * size + i] = matrix[i * size + j];
  for (let sweep = 0; sweep < 60; sweep++) {
    let turned = false;
    for (let a = 0; a < size - 1; a++)
      for (let b = a + 1; b < size; b++) turned = orthogonalise(columns, size, a, b) || turned;
    if (!turned) break;
  }
  const lengths = new Float64Array(size);
  for (let j = 0; j < size; j++) lengths[j] = Math.sqrt(dot(columns, size, j, j));
  return lengths.sort().reverse();
}

/** Rotates two columns until they are orthogonal; false when they already are. */
function orthogonalise(columns: Float64Array, size: number, a: number, b: number): boolean {
  const aa = dot(columns, size, a, a);
  const bb = dot(columns, size, b, b);
  const ab = dot(columns, size, a, b);
  if (Math.abs(ab) <= 1e-12 * Math.sqrt(aa * bb)) return false;
  const slope = (bb - aa) / (2 * ab);
  const tangent = (slope >= 0 ? 1 : -1) / (Math.abs(slope) + Math.hypot(1, slope));
  const cosine = 1 / Math.hypot(1, tangent);
  const sine = cosine * tangent;
  for (let i = 0; i < size; i++) {
    const x = columns[a * size + i];
    const y = columns[b * size + i];
    columns[a * size + i] = cosine * x - sine * y;
    columns[b * size + i] = sine * x + cosine * y;
  }
  return true;
}

function dot(columns: Float64Array, size: number, a: number, b: number): number {
  let sum = 0;
  for (let i = 0; i < size; i++) sum += columns[a * size + i] * columns[b * size + i];
  return sum;
}
