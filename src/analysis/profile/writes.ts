/** Below this share of the residual stream a head is called idle: whatever it looks at, the model hardly hears of it. Ours. */
export const IDLE_SHARE = 0.01;

/**
 * How much a head's output varies, as a share of the residual stream it is added to: RMS over positions of
 * ‖result − its mean over positions‖, divided by the RMS of ‖resid_pre‖. The mean is taken out because a constant output is only a bias.
 * A head can have a perfect pattern and write nothing; attention alone does not show that.
 * @param result one head's results, [T, dModel]
 * @param resid resid_pre of its layer, [T, dModel]
 */
export function writeShare(result: ArrayLike<number>, resid: ArrayLike<number>, tokens: number): number {
  const width = result.length / tokens;
  let varying = 0;
  let stream = 0;
  for (let d = 0; d < width; d++) {
    let centre = 0;
    for (let q = 0; q < tokens; q++) centre += result[q * width + d] / tokens;
    for (let q = 0; q < tokens; q++) {
      varying += (result[q * width + d] - centre) ** 2;
      stream += resid[q * width + d] ** 2;
    }
  }
  return stream > 0 ? Math.sqrt(varying / stream) : 0;
}
