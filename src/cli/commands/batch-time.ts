/** "41 s", "7 min", "3 h 20 min". */
export function duration(seconds: number): string {
  if (seconds < 99.5) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Estimates the time that the rest of a batch takes from the items that were made; those that were kept or failed are not counted. */
export class TimeLeft {
  private left: number;
  private made = 0;
  private seconds = 0;

  constructor(items: number) {
    this.left = items;
  }

  /** @param took seconds; undefined for an item that was not made */
  finished(took: number | undefined): void {
    this.left--;
    if (took === undefined) return;
    this.made++;
    this.seconds += took;
  }

  /** " · about 7 min left", or nothing where nothing is left or known. */
  text(): string {
    return this.left > 0 && this.made > 0
      ? ` · about ${duration((this.left * this.seconds) / this.made)} left`
      : '';
  }
}
