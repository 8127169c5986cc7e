/** Dimensions of the residual stream as a person types them: "1415, 2533". */
export interface TypedDims {
  /** Absent when nothing is typed. */
  readonly dims?: readonly number[];
  readonly error?: string;
}

/** Reads typed dimensions; `error` says what is wrong. @param dModel width of the stream */
export function parseDims(text: string, dModel: number): TypedDims {
  const words = text.split(/[\s,;]+/).filter((word) => word !== '');
  if (words.length === 0) return {};
  const wrong = words.find((word) => !/^\d+$/.test(word) || Number(word) >= dModel);
  if (wrong !== undefined)
    return { error: `“${wrong}” is no dimension; type numbers from 0 to ${dModel - 1}.` };
  return { dims: [...new Set(words.map(Number))].sort((a, b) => a - b) };
}
