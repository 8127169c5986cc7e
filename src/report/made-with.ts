import type { Figure } from './figure-schema.ts';
import { formatNumber } from './numbers.ts';
import type { ReportDocument, Section } from './schema.ts';
import type { MeasuredError, Settings } from './schema-parts.ts';
import { prose, shorten, visible } from './text.ts';

/** What a figure was made with: the document's provenance, with the section's and the figure's own differences on top. */
export interface MadeWith {
  readonly checkpoint: string;
  /** Over all files of the checkpoint, external data included. */
  readonly sha256: string;
  /** The prompt in quotes, or what the prompts were. */
  readonly prompt: string | undefined;
  readonly device: string;
  readonly dtype: string;
  readonly settings: Settings;
  readonly seed: number | undefined;
  readonly measuredError: MeasuredError | undefined;
}

export function madeWith(report: ReportDocument, section: Section, figure: Figure): MadeWith {
  const { checkpoint, device, dtype, seed, measuredError } = report.provenance;
  return {
    checkpoint: checkpoint.name,
    sha256: checkpoint.sha256,
    prompt: promptText(section, figure),
    device: figure.context?.device ?? section.context?.device ?? device,
    dtype,
    seed,
    settings: { ...report.settings, ...section.context?.settings, ...figure.context?.settings },
    measuredError: figure.context?.measuredError ?? section.context?.measuredError ?? measuredError,
  };
}

/** The nearest that was said of the prompts: of the figure, of the section, or the section's own list. */
function promptText(section: Section, figure: Figure): string | undefined {
  for (const context of [figure.context, section.context]) {
    if (context?.prompt !== undefined) return quoted(context.prompt);
    if (context?.prompts !== undefined) return prose(context.prompts);
  }
  const own = section.prompts ?? [];
  return own.length > 1 ? `the ${own.length} prompts of this section` : own[0] && quoted(own[0].text);
}

const quoted = (prompt: string): string => `prompt “${shorten(visible(prompt), 160)}”`;

/** A setting's value, exact. */
export function settingText(value: Settings[string]): string {
  if (Array.isArray(value)) return value.map((item) => prose(String(item))).join(', ');
  return value === null ? 'none' : prose(String(value));
}

/** "max |Δ| 2.1e−6 (logits, edited graph against the unedited model)". */
export function errorText(error: MeasuredError | undefined): string {
  if (!error) return 'not measured';
  const limit = error.tolerance === undefined ? '' : `, tolerance ${formatNumber(error.tolerance)}`;
  return `max |Δ| ${formatNumber(error.maxAbs)} (${prose(error.what)}${limit})`;
}

/** Whether the numbers are further off than the tolerance that they were promised within. */
export function exceeds(error: MeasuredError | undefined): boolean {
  return error?.tolerance !== undefined && error.maxAbs > error.tolerance;
}

/** Everything in one line of plain text, for files that stand alone. */
export function madeWithLine(made: MadeWith): string {
  const settings = Object.entries(made.settings).map(
    ([name, value]) => `${prose(name)} ${settingText(value)}`,
  );
  return [
    `model ${prose(made.checkpoint)}, sha256 ${made.sha256}`,
    ...(made.prompt === undefined ? [] : [made.prompt]),
    `device ${prose(made.device)}, ${prose(made.dtype)}`,
    ...(settings.length === 0 ? [] : [`settings: ${settings.join('; ')}`]),
    ...(made.seed === undefined ? [] : [`seed ${made.seed}`]),
    `measured error: ${errorText(made.measuredError)}${exceeds(made.measuredError) ? ' EXCEEDS ITS TOLERANCE' : ''}`,
  ].join(' · ');
}
