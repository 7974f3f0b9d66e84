import { closeSync, existsSync, mkdirSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NoticeEvent } from './notifier';
import type { TradeEvent } from './trades';

/** One line of the state file. */
export type StoredEvent = TradeEvent | NoticeEvent;

/** Where events are kept. */
export interface Store {
  append(event: StoredEvent): void;
  close(): void;
}

/** Keeps nothing. */
export const noStore: Store = { append: () => undefined, close: () => undefined };

/**
 * Opens a state file: JSON lines, append-only. A last line torn by a crash is cut off, so that the next one starts clean.
 * @param replay called with every event of the past, in order
 * @throws Error naming the line when one before the last cannot be read
 */
export function openStore(stateFile: string, replay: (event: StoredEvent) => void): Store {
  mkdirSync(dirname(stateFile), { recursive: true });
  if (existsSync(stateFile)) replayFile(stateFile, replay);
  const file = openSync(stateFile, 'a', 0o600);
  let open = true;
  return {
    append: (event) => {
      if (open) writeSync(file, `${JSON.stringify(event)}\n`);
    },
    close: () => {
      open = false;
      closeSync(file);
    },
  };
}

function replayFile(stateFile: string, replay: (event: StoredEvent) => void): void {
  const bytes = readFileSync(stateFile);
  const end = bytes.lastIndexOf('\n') + 1;
  if (end < bytes.length) truncateSync(stateFile, end);
  const lines = bytes.subarray(0, end).toString('utf8').split('\n').slice(0, -1);
  lines.forEach((line, index) => {
    try {
      replay(JSON.parse(line) as StoredEvent);
    } catch (error) {
      throw new Error(
        `SANDBOX_STATE: line ${index + 1} of ${stateFile} cannot be read: move the file away to start empty`,
        { cause: error },
      );
    }
  });
}
