import { HeadscopeError } from '../../../src/errors.ts';
import type { Pixels, PictureSettings } from '../../../src/workbench/picture-settings.ts';

/** Pictures with longer sides are not decoded: they would take gigabytes. */
const LONGEST = 20_000;

/**
 * A picture file as pixels of the model's size: stretched to it, or its middle cut out when the settings say so. What is see-through becomes white.
 * @throws HeadscopeError `bad-picture` for what the browser cannot decode
 */
export async function decodePicture(file: File, settings: PictureSettings): Promise<Pixels> {
  const { width, height, shortestEdge } = settings;
  const picture = await createImageBitmap(file).catch((cause: unknown) => {
    throw new HeadscopeError(
      'bad-picture',
      `${file.name} is no picture that can be read. Choose a PNG or JPEG file, or a NumPy file.`,
      2,
      { cause },
    );
  });
  try {
    if (Math.max(picture.width, picture.height) > LONGEST)
      throw new HeadscopeError(
        'bad-picture',
        `${file.name} is ${picture.width} × ${picture.height} pixels, more than can be read. Make it smaller.`,
      );
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', { willReadFrequently: true })!;
    context.fillStyle = '#fff';
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = 'high';
    if (shortestEdge === undefined) context.drawImage(picture, 0, 0, width, height);
    else {
      const scale = shortestEdge / Math.min(picture.width, picture.height);
      const [wide, high] = [picture.width * scale, picture.height * scale];
      context.drawImage(picture, (width - wide) / 2, (height - high) / 2, wide, high);
    }
    const { data } = context.getImageData(0, 0, width, height);
    const rgb = new Uint8Array(3 * width * height);
    for (let i = 0; i < width * height; i++) rgb.set(data.subarray(4 * i, 4 * i + 3), 3 * i);
    return { width, height, rgb };
  } finally {
    picture.close();
  }
}
