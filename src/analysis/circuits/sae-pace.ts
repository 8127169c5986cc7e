/** How many epochs of a training are done in one run, from the time that earlier ones took. Cancelling waits for the run. */
export interface Pace {
  readonly epochs: number;
  /** Told after every run. */
  took(milliseconds: number, epochs: number): void;
}

const epochsIn = (milliseconds: number, perEpoch: number, most: number): number =>
  Math.max(1, Math.min(most, Math.round(milliseconds / perEpoch)));

/** Where a run may have any length: adjusted after every run. */
export function freePace(): Pace {
  const WANTED = 300;
  const MOST = 100;
  let epochs = 5;
  return {
    get epochs() {
      return epochs;
    },
    took(milliseconds, done) {
      epochs = epochsIn(WANTED, milliseconds / done, MOST);
    },
  };
}

/**
 * Where every length is a graph of its own: chosen once. The first runs are of a single epoch and their times not what later ones take,
 * since a graphics card's programs are compiled meanwhile.
 */
export function fixedPace(): Pace {
  const FIRST_RUNS = 3;
  const WANTED = 1000;
  const MOST = 25;
  let epochs = 1;
  let runs = 0;
  return {
    get epochs() {
      return epochs;
    },
    took(milliseconds, done) {
      if (++runs === FIRST_RUNS) epochs = epochsIn(WANTED, milliseconds / done, MOST);
    },
  };
}
