import type { CheckpointFiles } from '../onnx/source.ts';
import type { Tensor } from '../runtime/device.ts';
import { readConfig } from './config-file.ts';

/** How a picture becomes the numbers that a model reads. */
export interface PictureSettings {
  /** Pixels the model reads. */
  readonly width: number;
  readonly height: number;
  /** 1 or 3. */
  readonly channels: number;
  /** The picture's shorter side is made this long and the middle is cut out; absent: the picture is stretched to the model's size. */
  readonly shortestEdge?: number;
  /** A stored value 0 … 255 is multiplied by it. */
  readonly rescale: number;
  /** Then, channel by channel: − mean, / std. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Where these numbers come from. */
  readonly from: 'preprocessor_config.json' | 'defaults';
}

/** A picture as a session keeps it: [height, width, 3], row after row. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** What ViT's own processor does where nothing says otherwise: values between −1 and 1. */
const DEFAULT = { rescale: 1 / 255, mean: 0.5, std: 0.5 } as const;

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

/** A number per channel: of a list, or the same for all. */
function perChannel(value: unknown, channels: number, otherwise: number): number[] {
  const list = Array.isArray(value) ? (value as unknown[]) : [value];
  const numbers = list.filter(isNumber);
  if (numbers.length !== list.length || numbers.length === 0)
    return new Array<number>(channels).fill(otherwise);
  return Array.from({ length: channels }, (_, i) => numbers[i] ?? numbers[0]);
}

/** The shorter side that a picture is made to have before its middle is cut out. */
function shortestEdgeOf(config: Readonly<Record<string, unknown>>): number | undefined {
  if (config.do_center_crop !== true || config.do_resize === false) return undefined;
  const { size } = config;
  const edge = isNumber(size) ? size : (size as Record<string, unknown> | undefined)?.shortest_edge;
  return isNumber(edge) && edge >= 1 ? Math.round(edge) : undefined;
}

/**
 * The numbers of preprocessor_config.json, or stated defaults.
 * @param shape [batch, channels, height, width] that the model reads
 */
export async function pictureSettings(
  files: CheckpointFiles,
  shape: readonly (number | string)[],
): Promise<PictureSettings> {
  const [, channels, height, width] = shape as [unknown, number, number, number];
  const config = await readConfig(files, 'preprocessor_config.json');
  const size = { width, height, channels };
  if (!config) {
    const { rescale, mean, std } = DEFAULT;
    return {
      ...size,
      rescale,
      mean: new Array<number>(channels).fill(mean),
      std: new Array<number>(channels).fill(std),
      from: 'defaults',
    };
  }
  const rescales = config.do_rescale !== false;
  const normalises = config.do_normalize !== false;
  const factor = isNumber(config.rescale_factor) ? config.rescale_factor : DEFAULT.rescale;
  const edge = shortestEdgeOf(config);
  return {
    ...size,
    ...(edge !== undefined && { shortestEdge: Math.max(edge, width, height) }),
    rescale: rescales ? factor : 1,
    mean: normalises
      ? perChannel(config.image_mean, channels, DEFAULT.mean)
      : new Array<number>(channels).fill(0),
    std: normalises
      ? perChannel(config.image_std, channels, DEFAULT.std)
      : new Array<number>(channels).fill(1),
    from: 'preprocessor_config.json',
  };
}

/** A picture of the model's size as the model reads it, [1, channels, height, width]; one channel is the mean of the three. */
export function pictureTensor({ width, height, rgb }: Pixels, settings: PictureSettings): Tensor {
  const { channels, rescale, mean, std } = settings;
  const area = width * height;
  const data = new Float32Array(channels * area);
  for (let channel = 0; channel < channels; channel++)
    for (let i = 0; i < area; i++) {
      const at = 3 * i;
      const value = channels === 1 ? (rgb[at] + rgb[at + 1] + rgb[at + 2]) / 3 : rgb[at + channel];
      data[channel * area + i] = (value * rescale - mean[channel]) / std[channel];
    }
  return { type: 'float32', dims: [1, channels, height, width], data };
}

/** Pixels that show what a model reads: the other way round, cut off at black and white. @param tensor [1, channels, height, width] */
export function shownPixels({ dims, data }: Tensor, settings: PictureSettings): Pixels {
  const [, channels, height, width] = dims;
  const { rescale, mean, std } = settings;
  const area = width * height;
  const rgb = new Uint8Array(3 * area);
  for (let i = 0; i < area; i++)
    for (let colour = 0; colour < 3; colour++) {
      const channel = Math.min(colour, channels - 1);
      const value = (Number(data[channel * area + i]) * std[channel] + mean[channel]) / rescale;
      rgb[3 * i + colour] = Math.max(0, Math.min(255, Math.round(value)));
    }
  return { width, height, rgb };
}
