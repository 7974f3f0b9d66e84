import { SingleBar } from 'cli-progress';

/** The format of a progress bar, and the function that starts it and returns the watcher that moves it. */
export interface BarOf<Watch> {
  format: string;
  watch: (bar: SingleBar) => Watch;
}

/** Runs `act`, draws its progress on the terminal, and clears it at the end. */
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
