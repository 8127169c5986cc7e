/** Where a front end's checkpoint comes from; plain data, without any path. */
export type CheckpointSource =
  | {
      /** A folder that the shell serves under `base` (ends in a slash): `<base>index.json` lists it, `<base><name>` is a file, with ranges. */
      readonly kind: 'served';
      readonly name: string;
      readonly base: string;
      /** The .onnx file to open; chosen by name when absent. */
      readonly file?: string;
    }
  | {
      /** Files that a person gave to the browser, by their names inside the folder. */
      readonly kind: 'files';
      readonly name: string;
      readonly files: readonly { readonly name: string; readonly blob: Blob }[];
      readonly file?: string;
    };

/** What `<base>index.json` holds. */
export interface ServedIndex {
  readonly name: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

/** A checkpoint that comes with the program. */
export interface Sample {
  readonly name: string;
  /** One sentence: what it is. */
  readonly title: string;
  /** What there is to see in it. */
  readonly description: string;
  readonly source: CheckpointSource;
}
