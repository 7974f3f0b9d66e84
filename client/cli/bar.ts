import { SingleBar } from 'cli-progress';

/** How a bar looks, and how it is begun and moved by what a command watches. */
export interface BarOf<Watch> {
  format: string;
  watch: (bar: SingleBar) => Watch;
}

/** Acts, and draws on a terminal meanwhile how far it is; leaves nothing behind. */
export async function withBar<Watch, T>(
  terminal: NodeJS.WriteStream | undefined,
  { format, watch }: BarOf<Watch>,
  act: (watch?: Watch) => Promise<T>,
): Promise<T> {
  if (!terminal) return act();
  const bar = new SingleBar({
    stream: terminal,
    format,
    barsize: 24,
    barCompleteChar: '█',
    barIncompleteChar: '░',
    hideCursor: true,
    clearOnComplete: true,
    emptyOnZero: true,
  });
  try {
    return await act(watch(bar));
  } finally {
    bar.stop();
  }
}
