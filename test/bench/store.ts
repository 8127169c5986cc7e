import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Section } from './jobs.ts';
import type { Row, Told } from './results.ts';

/** What one job gave. */
export interface JobResult {
  readonly id: string;
  readonly section: Section;
  /** When it began, UTC. */
  readonly date: string;
  /** Processes that wanted the machine when it began. */
  readonly load: number;
  seconds: number;
  readonly rows: Row[];
  readonly notes: string[];
  failed?: string;
}

/** The machine, and what is compared. */
export interface Environment {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly system: string;
  readonly threads: number;
  readonly clock: string;
  readonly node: string;
  readonly about: Record<string, string>;
}

export interface Results {
  environment: Environment;
  readonly jobs: Record<string, JobResult>;
}

/** Results of all jobs in one file, written as they come; a job that is run again takes the place of its earlier results. */
export class Store {
  readonly file: string;
  readonly results: Results;
  private writing: Promise<void> = Promise.resolve();

  private constructor(file: string, results: Results) {
    this.file = file;
    this.results = results;
  }

  /** @param fresh forgets what is in the file */
  static async open(file: string, environment: Environment, fresh: boolean): Promise<Store> {
    const before = fresh ? undefined : await readResults(file);
    const about = { ...before?.environment.about, ...environment.about };
    await mkdir(path.dirname(file), { recursive: true });
    return new Store(file, { environment: { ...environment, about }, jobs: before?.jobs ?? {} });
  }

  begin(result: JobResult): void {
    this.results.jobs[result.id] = result;
  }

  tell(result: JobResult, told: Told): void {
    if (told.kind === 'row') result.rows.push(told.row);
    if (told.kind === 'note') result.notes.push(told.text);
    if (told.kind === 'about') this.results.environment.about[told.of] = told.text;
  }

  /** Writes what there is; a file that is being read is never half written. */
  save(): Promise<void> {
    const next = async (): Promise<void> => {
      await writeFile(`${this.file}.part`, JSON.stringify(this.results, null, 1));
      await rename(`${this.file}.part`, this.file);
    };
    this.writing = this.writing.then(next);
    return this.writing;
  }
}

export async function readResults(file: string): Promise<Results | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Results);
}
