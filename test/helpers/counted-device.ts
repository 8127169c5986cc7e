import type { Device, Session, Tensor } from '../../src/runtime/device.ts';

const bytesOf = ({ data }: Tensor): number => data.byteLength;

/** A device that counts what crosses between it and the program. Bytes. */
export class CountedDevice {
  readonly device: Device;
  /** The largest tensor fetched, and the largest fed. */
  fetched = 0;
  fed = 0;
  /** The most that one run gave. */
  ofRun = 0;
  runs = 0;

  constructor(device: Device) {
    const counted = (session: Session): Session => ({
      inputNames: session.inputNames,
      outputNames: session.outputNames,
      run: async (feeds, fetches) => {
        const outputs = await session.run(feeds, fetches);
        const given = Object.values(outputs).map(bytesOf);
        this.fetched = Math.max(this.fetched, ...given);
        this.fed = Math.max(this.fed, ...Object.values(feeds).map(bytesOf));
        this.ofRun = Math.max(
          this.ofRun,
          given.reduce((sum, bytes) => sum + bytes, 0),
        );
        this.runs++;
        return outputs;
      },
      release: () => session.release(),
    });
    this.device = { ...device, createSession: async (model) => counted(await device.createSession(model)) };
  }

  /** Counts from here on. */
  reset(): void {
    this.fetched = this.fed = this.ofRun = this.runs = 0;
  }
}
