/** Below this share of the residual stream a head is called idle: whatever it looks at, the model hardly hears of it. Ours. */
export const IDLE_SHARE = 0.01;

/**
 * How much a head's output varies, as a share of the residual stream it is added to: RMS over positions of
 * ‖result − its mean over positions‖, divided by the RMS of ‖resid_pre‖. The mean is taken out because a constant output is only a bias.
 * A head can have a perfect pattern and write nothing; attention alone does not show that.
 *
 * Positions come in blocks, whose means and squares are joined (Chan, Golub & LeVeque 1983).
 */
export class WriteTally {
  readonly #centre: Float64Array;
  #positions = 0;
  #varying = 0;
  #stream = 0;

  constructor(width: number) {
    this.#centre = new Float64Array(width);
  }

  /**
   * @param result one head's results at some positions, [positions, dModel]
   * @param resid resid_pre of its layer there, [positions, dModel]
   */
  add(result: ArrayLike<number>, resid: ArrayLike<number>): void {
    const width = this.#centre.length;
    const positions = result.length / width;
    const all = this.#positions + positions;
    for (let d = 0; d < width; d++) {
      let centre = 0;
      for (let q = 0; q < positions; q++) centre += result[q * width + d] / positions;
      for (let q = 0; q < positions; q++) {
        this.#varying += (result[q * width + d] - centre) ** 2;
        this.#stream += resid[q * width + d] ** 2;
      }
      const off = centre - this.#centre[d];
      this.#varying += (off * off * this.#positions * positions) / all;
      this.#centre[d] += (off * positions) / all;
    }
    this.#positions = all;
  }

  share(): number {
    return this.#stream > 0 ? Math.sqrt(this.#varying / this.#stream) : 0;
  }
}
